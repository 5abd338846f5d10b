// The bodies of error frames: what an error says to the remote, and what the remote's mean (docs/protocol.md, sections 3 and 4).

import { CallTimeout, RemoteError } from "./errors.mjs";

/** @import * as Declared from "./duologue.mjs" */

/** Text that the remote puts into an error is cut to so many characters. */
const MAX_TEXT = 1024;

/** @type {Record<string, Declared.Executed>} What `executed` says of each kind. */
const ON_THE_WIRE = {
  UnknownService: "no",
  Deserialize: "no",
  PubSubNoCall: "no",
  InternalServerError: "unknown",
  Timeout: "unknown",
  DeserializeWireFormat: "unknown",
};

/**
 * The body of an error about one call, as plain data.
 *
 * @param {string} kind
 * @param {bigint} sid
 * @param {bigint} cid
 */
export function errorBody(kind, sid, cid) {
  return { [kind]: { sid: { inner: { id: sid } }, cid: { inner: { id: cid } } } };
}

/**
 * The kind and the text of an error body. Whatever can't be understood is `Unreadable`: it never throws.
 *
 * @param {Uint8Array} payload
 * @param {(payload: Uint8Array) => any} decode
 */
export function readError(payload, decode) {
  try {
    const [[kind, content], ...more] = Object.entries(decode(payload));
    if (more.length === 0 && Object.hasOwn(ON_THE_WIRE, kind)) {
      const text = content?.context;
      return { kind, text: typeof text === "string" ? text.slice(0, MAX_TEXT) : "" };
    }
  } catch {
    // what it is not is no error body
  }
  return { kind: "Unreadable", text: "" };
}

/**
 * What a caller gets to see of an error frame.
 *
 * @param {{kind: string, text: string}} error
 */
export function callError({ kind, text }) {
  if (kind === "Timeout") {
    return new CallTimeout("unknown", "a relay on the way got no answer in time");
  }
  if (kind === "Unreadable") {
    return new RemoteError(kind, "unknown", "something that is no error here; do both ends use the same wire format?");
  }
  return new RemoteError(kind, ON_THE_WIRE[kind], text);
}
