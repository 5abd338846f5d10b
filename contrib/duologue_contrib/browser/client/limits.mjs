// Every bound of a connection. The numbers are those of the other end (docs/guide.md, Limits), as far as a page can have them.

/** @import * as Declared from "./duologue.mjs" */

const KIB = 1024;
const MIB = 1024 * KIB;

/**
 * Sizes are in bytes, times in milliseconds.
 *
 * @satisfies {Declared.Limits}
 */
export const LIMITS = Object.freeze({
  maxFrame: MIB,
  calls: 100,
  lent: 1024,
  parked: 1024,
  parkedBytes: 8 * MIB,
  sends: 1000,
  sendsBytes: 4 * MIB,
  owed: 1024,
  waiting: 8192,
  outboxHigh: 256 * KIB,
  outboxLow: 64 * KIB,
  callTimeout: 60_000,
  sendTimeout: 60_000,
  frameTimeout: 30_000,
  handshakeTimeout: 10_000,
  requestsStalled: 60_000,
  closeTimeout: 10_000,
  givenUp: 60_000,
  strays: 100,
});

/**
 * The limits with what is to be different. Throws for a name that is none, and for what is no number.
 *
 * @param {Partial<Declared.Limits>} [given]
 * @returns {Declared.Limits}
 */
export function limitsWith(given = {}) {
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(LIMITS, name)) {
      throw new TypeError(`there is no limit ${name}: there are ${Object.keys(LIMITS).join(", ")}`);
    }
    checkNumber(name, value);
  }
  return { ...LIMITS, ...given };
}

/**
 * @param {string} name
 * @param {unknown} value
 */
export function checkNumber(name, value) {
  if (typeof value !== "number" || !(value >= 0)) {
    throw new RangeError(`${name} is ${value}, a ${typeof value}: give a number that is not negative`);
  }
}

/**
 * A timer that may be infinite, which `setTimeout` takes for none at all.
 *
 * @param {number} milliseconds
 * @param {() => void} then
 * @returns {ReturnType<typeof setTimeout> | undefined}
 */
export function after(milliseconds, then) {
  return milliseconds <= 2 ** 31 - 1 ? setTimeout(then, milliseconds) : undefined;
}
