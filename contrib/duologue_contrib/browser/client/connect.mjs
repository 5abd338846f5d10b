// From a URL to a peer.

import { ConnectFailed, messageOf } from "./errors.mjs";
import { whenLeft } from "./leaving.mjs";
import { after, limitsWith } from "./limits.mjs";
import { Peer } from "./peer.mjs";
import { Services } from "./services.mjs";

/** @import * as Declared from "./duologue.mjs" */
/** @typedef {Declared.ConnectOptions} ConnectOptions */

/** What a server says in HTTP when it will never let us in. A page is not told; the `ws` of Node.js is. */
const NEVER = [400, 401, 403, 405, 407, 410, 414, 426, 431, 501, 505];

/**
 * @param {string} url
 * @param {ConnectOptions} options
 * @returns {Promise<Peer>}
 */
export async function connect(url, options) {
  const limits = limitsWith(options.limits);
  if (typeof options.wireformat?.encode !== "function") {
    throw new TypeError("wireformat is missing: give cbor, msgpack or json, the same as the other end has");
  }
  const checked = { ...options, limits, services: Services.of(options.services) };
  options.signal?.throwIfAborted();
  const socket = open(url, options);
  socket.binaryType = "arraybuffer";
  return new Promise((resolve, reject) => {
    const onAbort = () => fail(options.signal?.reason);
    const timer = after(limits.handshakeTimeout, () =>
      fail(new ConnectFailed(url, `the WebSocket was not open after ${limits.handshakeTimeout / 1000} s`)),
    );
    options.signal?.addEventListener("abort", onAbort);
    const stopWatching = whenLeft(() => fail(new ConnectFailed(url, "the page was left")));

    function done() {
      clearTimeout(timer);
      stopWatching();
      options.signal?.removeEventListener("abort", onAbort);
      socket.onopen = socket.onclose = null;
      socket.onerror = () => {}; // in Node.js an error that nobody hears ends the process
    }

    /** @param {unknown} error */
    function fail(error) {
      done();
      socket.close();
      reject(error);
    }

    socket.onopen = () => {
      done();
      resolve(new Peer(socket, checked));
    };
    // Some say so by an error alone, some by a close alone, and browsers by both, without a word about why.
    socket.onerror = socket.onclose = (/** @type {Event} */ event) => {
      const said = "message" in event && typeof event.message === "string" ? event.message : "";
      const status = Number(/response: (\d{3})\b/.exec(said)?.[1]);
      const isPermanent = NEVER.includes(status) || (status >= 300 && status < 400);
      fail(new ConnectFailed(url, said || "is a server there, and does it let pages of this origin in?", { isPermanent }));
    };
  });
}

/**
 * @param {string} url
 * @param {ConnectOptions} options
 * @returns {WebSocket}
 */
function open(url, { WebSocket = globalThis.WebSocket }) {
  if (typeof WebSocket !== "function") {
    throw new TypeError("there is no WebSocket here: give one, as in connect(url, { WebSocket, ... })");
  }
  try {
    return new WebSocket(absolute(url));
  } catch (error) {
    const hint = globalThis.location ? "" : "; outside of a page write all of it, such as ws://host:port";
    throw new ConnectFailed(url, `${messageOf(error)}${hint}`, { isPermanent: true, cause: error });
  }
}

/**
 * Where the WebSocket is: in a page a path will do, and goes to where the page came from.
 *
 * @param {string} url
 */
function absolute(url) {
  const made = new URL(url, globalThis.location?.href);
  made.protocol = made.protocol.replace(/^http/, "ws");
  made.hash = "";
  return made.href;
}
