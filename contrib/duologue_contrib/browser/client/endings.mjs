// The codes that a WebSocket is closed with, and what they say (docs/adapters.md).

/** @import * as Declared from "./duologue.mjs" */

/** The codes that we close with: a page may say no others than 1000, and those from 3000 on. */
export const GOODBYE = 1000;
export const PROTOCOL_ERROR = 4002;
export const TEXT_MESSAGE = 4003;
export const GIVEN_UP = 4008;

/** What a page is told when there was no code. */
export const LOST = 1006;

/** Codes that say that something was wrong. All others are a goodbye. */
const FAULTS = [1002, 1003, 1007, 1008, 1009, 1010, 1011, 1014];

/** Codes after which another connection would end in the same way: the two don't speak the same, or this page is not let in. */
const FOR_GOOD = [1002, 1003, 1007, 1008, 1009, 1010, 4400, 4401, 4403];

/** The text that goes with a code has at most 123 bytes in UTF-8. */
const LONGEST_TEXT = 123;

/**
 * What the remote's code says about the end of the connection.
 *
 * @param {number} code
 * @param {string} text
 * @returns {{reason: Declared.CloseReason, detail: string}}
 */
export function endOf(code, text) {
  if (FAULTS.includes(code)) {
    return { reason: "transport failed", detail: `the remote closed the WebSocket with code ${code}: ${text || "no reason given"}` };
  }
  if (code === LOST) {
    return { reason: "cut short", detail: text || "the WebSocket ended without a goodbye" };
  }
  return { reason: "closed by remote", detail: text };
}

/** @param {number} code */
export function isForGood(code) {
  return FOR_GOOD.includes(code);
}

/**
 * Our own text as a close frame can carry it.
 *
 * @param {string} text
 */
export function reasonFor(text) {
  return text.replace(/[^ -~]/g, "?").slice(0, LONGEST_TEXT);
}
