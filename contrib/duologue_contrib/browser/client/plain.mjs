// From what a program has to what a wire format can write: the same for all of them.

import { EncodeError } from "./errors.mjs";

/** Arrays and maps within each other, at most, both ways: as at the other end. */
export const NESTING = 32;

/**
 * The plain data of a value: null, booleans, numbers, BigInts, texts, `Uint8Array`s, and arrays, objects and `Map`s of them.
 *
 * As in JSON, a property that is undefined is left out, and an object with `toJSON`, such as a `Date`, is what that gives. A `Set` is an
 * array. A `Map` is for what the other end declares as a `dict` with integer keys.
 *
 * @param {any} value
 * @param {string} [path]
 * @param {number} [depth]
 * @returns {any}
 */
export function plainOf(value, path = "$", depth = 0) {
  switch (typeof value) {
    case "string":
    case "number":
    case "boolean":
      return value;
    case "bigint":
      return integer(value, path);
    case "undefined":
      return null;
    case "object":
      if (value === null) {
        return null;
      }
      break;
    default:
      throw new EncodeError(`a ${typeof value} can't be sent - at ${path}`);
  }
  if (value instanceof ArrayBuffer) {
    return new Uint8Array(value);
  }
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  if (depth === NESTING) {
    throw new EncodeError(`more than ${NESTING} arrays and objects are within each other - at ${path}`);
  }
  if (typeof value.toJSON === "function") {
    return plainOf(value.toJSON(), path, depth + 1);
  }
  if (Array.isArray(value) || value instanceof Set) {
    return Array.from(value, (each, index) => plainOf(each, `${path}[${index}]`, depth + 1));
  }
  if (value instanceof Map) {
    return new Map(Array.from(value, ([key, each]) => [keyOf(key, path), plainOf(each, `${path}[...]`, depth + 1)]));
  }
  /** @type {Record<string, any>} */
  const plain = Object.create(null);
  for (const key of Object.keys(value)) {
    if (value[key] !== undefined) {
      plain[key] = plainOf(value[key], `${path}.${key}`, depth + 1);
    }
  }
  return plain;
}

/**
 * @param {bigint} value
 * @param {string} path
 */
function integer(value, path) {
  if (value < -(2n ** 64n) || value >= 2n ** 64n) {
    throw new EncodeError(`an integer of more than 64 bits can't be sent - at ${path}`);
  }
  return exact(value);
}

/**
 * @param {unknown} key
 * @param {string} path
 */
function keyOf(key, path) {
  if (typeof key === "bigint") {
    return integer(key, path);
  }
  if (typeof key === "string" || Number.isSafeInteger(key)) {
    return key;
  }
  throw new EncodeError(`the keys of a Map must be texts or integers - at ${path}`);
}

/**
 * An integer as programs get to see it: a number if a number can be exactly that, a BigInt if not.
 *
 * @param {bigint} value
 */
export function exact(value) {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/**
 * Set a property of an object that is being made. Not by assignment: that would make something else of `__proto__`.
 *
 * @param {object} object
 * @param {string} key
 * @param {unknown} value
 */
export function setOwn(object, key, value) {
  if (Object.hasOwn(object, key)) {
    throw new RangeError("a key is there twice");
  }
  Object.defineProperty(object, key, { value, configurable: true, enumerable: true, writable: true });
}
