// What the client uses, and replaces, of the encoder of @msgpack/msgpack.

export declare class Encoder {
  constructor(options: object);
  encode(value: unknown): Uint8Array<ArrayBuffer>;
  doEncode(value: unknown, depth: number): void;
  encodeNumber(number: number): void;
  encodeBigInt64(value: bigint): void;
  encodeMap(map: object, depth: number): void;
  writeU8(value: number): void;
  writeU32(value: number): void;
}
