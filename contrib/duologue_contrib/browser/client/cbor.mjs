// CBOR, by cborg, in the hardened profile of docs/wireformats.md.

import { Tokenizer, decode, encode } from "./packages/cborg/cborg.js";
import { DecodeError, EncodeError, messageOf } from "./errors.mjs";
import { NESTING, plainOf, setOwn } from "./plain.mjs";

/** @import * as Declared from "./duologue.mjs" */

/** @type {Declared.WireFormat} */
export const cbor = {
  name: "cbor",
  encode(value) {
    const plain = plainOf(value);
    try {
      return encode(plain, { float64: true, mapSorter: undefined });
    } catch (error) {
      throw new EncodeError(`this can't be written as CBOR: ${messageOf(error)}`, error);
    }
  },
  decode(payload) {
    const options = { allowBigInt: true, allowIndefinite: true, allowUndefined: false, rejectDuplicateMapKeys: true, useMaps: true };
    try {
      return withoutMaps(decode(payload, { ...options, tokenizer: new BoundedTokenizer(payload, options) }));
    } catch (error) {
      throw new DecodeError(`this is no valid CBOR: ${messageOf(error)}`, error);
    }
  },
};

/** Refuses what is nested too deep, before anything is made of it. */
class BoundedTokenizer extends Tokenizer {
  /** @type {number[]} For each array and map around: how many values it still waits for. */
  #waiting = [];

  next() {
    const token = super.next();
    const { type, value } = token;
    if (type.name === "break") {
      this.#waiting.pop();
      this.#complete();
    } else if ((type.name === "array" || type.name === "map") && value > 0) {
      if (this.#waiting.push(type.name === "map" ? 2 * value : value) > NESTING) {
        throw new RangeError(`more than ${NESTING} arrays and maps are within each other`);
      }
    } else {
      this.#complete();
    }
    return token;
  }

  /** A value is complete, and with it perhaps what is around it. */
  #complete() {
    while (this.#waiting.length > 0 && --this.#waiting[this.#waiting.length - 1] === 0) {
      this.#waiting.pop();
    }
  }
}

/**
 * Maps as objects. Integer keys become the texts of their digits, as JavaScript has it.
 *
 * @param {any} value
 * @returns {any}
 */
function withoutMaps(value) {
  if (Array.isArray(value)) {
    return value.map(withoutMaps);
  }
  if (!(value instanceof Map)) {
    return value;
  }
  const object = {};
  for (const [key, each] of value) {
    if (typeof key !== "string" && typeof key !== "number" && typeof key !== "bigint") {
      throw new TypeError("a key is neither a text nor an integer");
    }
    setOwn(object, String(key), withoutMaps(each));
  }
  return object;
}
