// For the tests of the client without a network: a WebSocket that does what a test says.

import { connect } from "../../../../contrib/duologue_contrib/browser/client/duologue.mjs";
import { FrameDecoder } from "../../../../contrib/duologue_contrib/browser/client/frames.mjs";
import { json } from "../../../../contrib/duologue_contrib/browser/client/json.mjs";

export class FakeSocket {
  readyState = 0;
  /** Set it to have a socket that takes nothing. */
  bufferedAmount = 0;
  /** What it was given, and the code and the reason that it was closed with. */
  messages = [];
  closed = undefined;

  constructor(url) {
    this.url = url;
    queueMicrotask(() => this.shakeHands());
  }

  shakeHands() {
    this.readyState = 1;
    this.onopen();
  }

  send(data) {
    this.messages.push(new Uint8Array(data));
  }

  close(code, reason) {
    if (this.readyState < 2) {
      this.readyState = 2;
      this.closed = { code, reason };
    }
  }

  /** The connection has ended. */
  end(code, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  receive(...pieces) {
    for (const piece of pieces) {
      this.onmessage({ data: piece instanceof Uint8Array ? new Uint8Array(piece).buffer : piece });
    }
  }

  /** The frames that were sent since the last look. */
  frames() {
    const decoder = new FrameDecoder(Infinity);
    return this.messages.splice(0).flatMap((message) => [...decoder.frames(message)]);
  }
}

/** A peer, its socket, and what it tells. */
export async function connected(options = {}) {
  let socket;
  const events = [];
  class Socket extends FakeSocket {
    constructor(url) {
      super(url);
      socket = this;
    }
  }
  const limits = { closeTimeout: 100, ...options.limits }; // a fake one never says goodbye by itself
  const peer = await connect("ws://x/", { wireformat: json, onEvent: (event) => events.push(event), WebSocket: Socket, ...options, limits });
  return { peer, socket, events };
}

/** The error that a promise is rejected with. */
export async function errorOf(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it was not rejected");
}

/** After what is due now: microtasks, and timers of no time. */
export function soon() {
  return new Promise((resolve) => setImmediate(resolve));
}

/** As soon as it is so. */
export async function until(condition) {
  while (!condition()) {
    await soon();
  }
}

export function hex(text) {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

export function hexOf(bytes) {
  return Array.from(bytes, (each) => each.toString(16).padStart(2, "0")).join("");
}

/** Run something in a page, as far as that is one: events of the window are dispatched to the target that it gets. */
export async function inPage(run) {
  const target = new EventTarget();
  const listeners = [];
  globalThis.addEventListener = (type, listener) => (listeners.push(listener), target.addEventListener(type, listener));
  globalThis.removeEventListener = (type, listener) => {
    listeners.splice(listeners.indexOf(listener), listeners.includes(listener) ? 1 : 0);
    target.removeEventListener(type, listener);
  };
  try {
    await run(target);
  } finally {
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  }
  if (listeners.length > 0) {
    throw new Error(`${listeners.length} listeners were left behind`);
  }
}

/** The browser leaves the page, and may keep it. */
export function pageHide(persisted) {
  return Object.assign(new Event("pagehide"), { persisted });
}
