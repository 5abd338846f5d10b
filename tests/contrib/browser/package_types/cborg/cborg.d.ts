// What the client uses of cborg. The package's own declarations are of modules with other names, and not shipped.

export declare class Tokenizer {
  constructor(data: Uint8Array, options: object);
  next(): { type: { name: string }; value: any };
  done(): boolean;
  pos(): number;
}
export declare function encode(value: unknown, options: object): Uint8Array<ArrayBuffer>;
export declare function decode(payload: Uint8Array, options: object): any;
