// MessagePack, by @msgpack/msgpack, in the hardened profile of docs/wireformats.md.
//
// Its `Decoder` and `Encoder` have no option for depth, for keys that are there twice, or for BigInts only where they are needed. Those
// methods are replaced here that decide it; the package is shipped with the client, so they are known to be there.

import { Decoder } from "./packages/msgpack/dist.esm/Decoder.mjs";
import { Encoder } from "./packages/msgpack/dist.esm/Encoder.mjs";
import { DecodeError, EncodeError, messageOf } from "./errors.mjs";
import { NESTING, exact, plainOf } from "./plain.mjs";

/** @import * as Declared from "./duologue.mjs" */

/** @type {Declared.WireFormat} */
export const msgpack = {
  name: "msgpack",
  encode(value) {
    const plain = plainOf(value);
    try {
      return new PlainEncoder({ useBigInt64: true, extensionCodec, maxDepth: NESTING + 1 }).encode(plain);
    } catch (error) {
      throw new EncodeError(`this can't be written as MessagePack: ${messageOf(error)}`, error);
    }
  },
  decode(payload) {
    try {
      return new HardenedDecoder({ useBigInt64: true, extensionCodec }).decode(payload);
    } catch (error) {
      throw new DecodeError(`this is no valid MessagePack: ${messageOf(error)}`, error);
    }
  },
};

/** None: not even the timestamps that the package has built in. */
const extensionCodec = {
  tryToEncode() {
    return null;
  },
  /** @returns {never} */
  decode() {
    throw new TypeError("extension types are not spoken here");
  },
};

class HardenedDecoder extends Decoder {
  /** @param {any} key */
  mapKeyConverter = (key) => {
    if (typeof key !== "string" && typeof key !== "number" && typeof key !== "bigint") {
      throw new TypeError("a key is neither a text nor an integer");
    }
    if (Object.hasOwn(this.stack.top().map, String(key))) {
      throw new RangeError("a key is there twice");
    }
    return String(key);
  };

  /** @param {number} size */
  pushMapState(size) {
    this.#check(2 * size);
    super.pushMapState(size);
  }

  /** @param {number} size */
  pushArrayState(size) {
    this.#check(size);
    super.pushArrayState(size);
  }

  readU64AsBigInt() {
    return exact(super.readU64AsBigInt());
  }

  readI64AsBigInt() {
    return exact(super.readI64AsBigInt());
  }

  /**
   * @param {number} byteLength
   * @param {number} headOffset
   */
  decodeBinary(byteLength, headOffset) {
    return super.decodeBinary(byteLength, headOffset).slice();
  }

  /** @param {number} values that an array or a map is to have, which must be there before room is made for them */
  #check(values) {
    if (this.stack.length === NESTING) {
      throw new RangeError(`more than ${NESTING} arrays and maps are within each other`);
    }
    if (!this.hasRemaining(values)) {
      throw new RangeError("there are fewer values than were announced");
    }
  }
}

class PlainEncoder extends Encoder {
  /** @param {number} number */
  encodeNumber(number) {
    // Left alone it writes larger integers as floats, if BigInts are on.
    if (Number.isSafeInteger(number) && (number < -(2 ** 31) || number >= 2 ** 32)) {
      super.encodeBigInt64(BigInt(number));
    } else {
      super.encodeNumber(number);
    }
  }

  /** @param {bigint} value */
  encodeBigInt64(value) {
    if (value < -(2n ** 63n)) {
      throw new RangeError("an integer is below -2^63");
    }
    super.encodeBigInt64(value);
  }

  /**
   * @param {any} map
   * @param {number} depth
   */
  encodeMap(map, depth) {
    if (!(map instanceof Map)) {
      super.encodeMap(map, depth);
      return;
    }
    this.writeU8(0xdf);
    this.writeU32(map.size);
    for (const [key, value] of map) {
      this.doEncode(key, depth + 1);
      this.doEncode(value, depth + 1);
    }
  }
}
