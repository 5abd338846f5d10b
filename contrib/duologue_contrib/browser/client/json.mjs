// JSON, with nothing but what the browser has. A reader of its own, since `JSON.parse` rounds integers beyond 2^53, and of two equal
// keys silently takes the last.

import { DecodeError, EncodeError, messageOf } from "./errors.mjs";
import { NESTING, exact, plainOf, setOwn } from "./plain.mjs";

/** @import * as Declared from "./duologue.mjs" */

/** @type {Declared.WireFormat} */
export const json = {
  name: "json",
  encode(value) {
    return new TextEncoder().encode(textOf(plainOf(value)));
  },
  decode(payload) {
    try {
      return new Reader(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload)).read();
    } catch (error) {
      throw new DecodeError(`this is no valid JSON: ${messageOf(error)}`, error);
    }
  },
};

/**
 * @param {any} plain
 * @returns {string}
 */
function textOf(plain) {
  if (typeof plain === "number" && !Number.isFinite(plain)) {
    throw new EncodeError(`${plain} can't be written as JSON`);
  }
  if (plain === null || typeof plain !== "object") {
    return typeof plain === "string" ? JSON.stringify(plain) : String(plain);
  }
  if (plain instanceof Uint8Array) {
    return `"${base64(plain)}"`;
  }
  if (Array.isArray(plain)) {
    return `[${plain.map(textOf).join()}]`;
  }
  const entries = plain instanceof Map ? [...plain] : Object.entries(plain);
  return `{${entries.map(([key, value]) => `${JSON.stringify(String(key))}:${textOf(value)}`).join()}}`;
}

/** @param {Uint8Array} bytes */
function base64(bytes) {
  const pieces = [];
  for (let start = 0; start < bytes.length; start += 8192) {
    pieces.push(String.fromCharCode(...bytes.subarray(start, start + 8192)));
  }
  return btoa(pieces.join(""));
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const WORDS = new Map([["t", { word: "true", value: true }], ["f", { word: "false", value: false }], ["n", { word: "null", value: null }]]);

class Reader {
  #text;
  #at = 0;

  /** @param {string} text */
  constructor(text) {
    this.#text = text;
  }

  read() {
    const value = this.#value(0);
    if (this.#next() !== "") {
      throw this.#unexpected();
    }
    return value;
  }

  /**
   * @param {number} depth
   * @returns {any}
   */
  #value(depth) {
    const first = this.#next();
    if (first === "{" || first === "[") {
      if (depth === NESTING) {
        throw new RangeError(`more than ${NESTING} arrays and objects are within each other`);
      }
      this.#at++;
      return first === "{" ? this.#object(depth + 1) : this.#array(depth + 1);
    }
    if (first === '"') {
      return this.#string();
    }
    const known = WORDS.get(first);
    if (known !== undefined) {
      if (!this.#text.startsWith(known.word, this.#at)) {
        throw this.#unexpected();
      }
      this.#at += known.word.length;
      return known.value;
    }
    return this.#number();
  }

  /** @param {number} depth */
  #object(depth) {
    const object = {};
    if (this.#skip("}")) {
      return object;
    }
    do {
      if (this.#next() !== '"') {
        throw this.#unexpected();
      }
      const key = this.#string();
      if (!this.#skip(":")) {
        throw this.#unexpected();
      }
      setOwn(object, key, this.#value(depth));
    } while (this.#skip(","));
    if (!this.#skip("}")) {
      throw this.#unexpected();
    }
    return object;
  }

  /** @param {number} depth */
  #array(depth) {
    /** @type {any[]} */
    const array = [];
    if (this.#skip("]")) {
      return array;
    }
    do {
      array.push(this.#value(depth));
    } while (this.#skip(","));
    if (!this.#skip("]")) {
      throw this.#unexpected();
    }
    return array;
  }

  /** @returns {string} */
  #string() {
    const start = this.#at;
    let end = start;
    do {
      end = this.#text.indexOf('"', end + 1);
      if (end < 0) {
        throw new SyntaxError("a text does not end");
      }
    } while (this.#isEscaped(end));
    this.#at = end + 1;
    return JSON.parse(this.#text.slice(start, end + 1)); // it knows all escapes, and which characters need one
  }

  /** @param {number} end where a quote is */
  #isEscaped(end) {
    let before = end;
    while (this.#text[before - 1] === "\\") {
      before--;
    }
    return (end - before) % 2 === 1;
  }

  #number() {
    NUMBER.lastIndex = this.#at;
    const found = NUMBER.exec(this.#text);
    if (found === null) {
      throw this.#unexpected();
    }
    this.#at = NUMBER.lastIndex;
    const [digits, fraction, exponent] = found;
    const number = Number(digits);
    // So many digits are no integer of 64 bits, and reading them would cost more than its length.
    return fraction || exponent || Number.isSafeInteger(number) || digits.length > 21 ? number : exact(BigInt(digits));
  }

  /**
   * Step over a character, if it is the next one.
   *
   * @param {string} character
   */
  #skip(character) {
    const isThere = this.#next() === character;
    if (isThere) {
      this.#at++;
    }
    return isThere;
  }

  /** The next character that is no space; empty at the end. */
  #next() {
    SPACE.lastIndex = this.#at;
    SPACE.test(this.#text);
    this.#at = SPACE.lastIndex;
    return this.#text.charAt(this.#at);
  }

  #unexpected() {
    return new SyntaxError(this.#at < this.#text.length ? `something unexpected at character ${this.#at}` : "it ends too early");
  }
}
