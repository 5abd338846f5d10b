// Service ids: the 64-bit xxHash of `namespace :: Name` (docs/protocol.md, section 2).

import { DuologueError } from "./errors.mjs";

const ALL = 2n ** 64n - 1n;
const P1 = 0x9e3779b185ebca87n;
const P2 = 0xc2b2ae3d27d4eb4fn;
const P3 = 0x165667b19e3779f9n;
const P4 = 0x85ebca77c2b2ae63n;
const P5 = 0x27d4eb2f165667c5n;
const CONTROL = 0xf782274c9450aa00n;

/**
 * The id of a service: `serviceId("calc", "Add")`. Throws for a name that can't be one, and for a reserved id.
 *
 * @param {string} namespace
 * @param {string} name
 */
export function serviceId(namespace, name) {
  for (const part of [namespace, name]) {
    if (typeof part !== "string" || part === "" || part !== part.trim()) {
      throw new TypeError(`${JSON.stringify(part)} can't be part of a service's name`);
    }
  }
  return checkedId(xxh64(new TextEncoder().encode(`${namespace} :: ${name}`)), `${namespace}::${name}`);
}

/**
 * The id itself, if a service may have it.
 *
 * @param {bigint} sid
 * @param {string} name
 */
export function checkedId(sid, name) {
  if (typeof sid !== "bigint") {
    throw new TypeError(`the service id of ${name} must be a BigInt, such as 0x6440cfd17c374646n`);
  }
  if (sid <= 0n || sid >= ALL || (sid & ~0xffn) === CONTROL) {
    throw new DuologueError("ServiceId", `${name} can't have the service id ${hexId(sid)}, which the protocol keeps for itself`);
  }
  return sid;
}

/** @param {bigint} sid */
export function hexId(sid) {
  return `0x${sid.toString(16).padStart(16, "0")}`;
}

/**
 * XXH64 with seed 0. Names are short and hashed once, so clear rather than fast.
 *
 * @param {Uint8Array<ArrayBuffer>} bytes
 */
export function xxh64(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  let hash = P5;
  if (bytes.length >= 32) {
    const lanes = [(P1 + P2) & ALL, P2, 0n, -P1 & ALL];
    for (; at + 32 <= bytes.length; at += 32) {
      for (let lane = 0; lane < 4; lane++) {
        lanes[lane] = round(lanes[lane], view.getBigUint64(at + 8 * lane, true));
      }
    }
    hash = (rotated(lanes[0], 1n) + rotated(lanes[1], 7n) + rotated(lanes[2], 12n) + rotated(lanes[3], 18n)) & ALL;
    for (const lane of lanes) {
      hash = ((hash ^ round(0n, lane)) * P1 + P4) & ALL;
    }
  }
  hash = (hash + BigInt(bytes.length)) & ALL;
  for (; at + 8 <= bytes.length; at += 8) {
    hash = (rotated(hash ^ round(0n, view.getBigUint64(at, true)), 27n) * P1 + P4) & ALL;
  }
  for (; at + 4 <= bytes.length; at += 4) {
    hash = (rotated(hash ^ ((BigInt(view.getUint32(at, true)) * P1) & ALL), 23n) * P2 + P3) & ALL;
  }
  for (; at < bytes.length; at++) {
    hash = (rotated(hash ^ ((BigInt(bytes[at]) * P5) & ALL), 11n) * P1) & ALL;
  }
  hash = ((hash ^ (hash >> 33n)) * P2) & ALL;
  hash = ((hash ^ (hash >> 29n)) * P3) & ALL;
  return hash ^ (hash >> 32n);
}

/**
 * @param {bigint} lane
 * @param {bigint} input
 */
function round(lane, input) {
  return (rotated((lane + input * P2) & ALL, 31n) * P1) & ALL;
}

/**
 * @param {bigint} value
 * @param {bigint} bits
 */
function rotated(value, bits) {
  return ((value << bits) | (value >> (64n - bits))) & ALL;
}
