// What the client uses, and replaces, of the decoder of @msgpack/msgpack.

export declare class Decoder {
  constructor(options: object);
  decode(bytes: Uint8Array): any;
  stack: { readonly length: number; top(): { map: object } };
  mapKeyConverter: (key: any) => any;
  pushMapState(size: number): void;
  pushArrayState(size: number): void;
  readU64AsBigInt(): any;
  readI64AsBigInt(): any;
  decodeBinary(byteLength: number, headOffset: number): Uint8Array;
  hasRemaining(size: number): boolean;
}
