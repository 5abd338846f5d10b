// One connection: a WebSocket, what goes out through it, and what comes in. Both ends have the same rights.

import { Calls } from "./calls.mjs";
import * as errors from "./errors.mjs";
import { ERROR, FrameDecoder, RESPONSE, encodeFrame } from "./frames.mjs";
import { after } from "./limits.mjs";
import { Outbox } from "./outbox.mjs";
import { Remote } from "./remote.mjs";
import { Requests } from "./requests.mjs";

/** @import * as Declared from "./duologue.mjs" */
/** @typedef {Declared.CloseReason} CloseReason */
/** @typedef {Declared.ConnectOptions} ConnectOptions */
/** @typedef {import("./services.mjs").Services} Services */

/**
 * What a `Remote` calls through.
 *
 * @typedef {object} Caller
 * @property {Declared.WireFormat} wireformat
 * @property {(sid: bigint, payload: Uint8Array, options?: any) => Promise<Uint8Array>} callRaw
 * @property {(sid: bigint, payload: Uint8Array, options?: any) => Promise<void>} sendRaw
 */

/** Close codes that say that something was wrong. All others are a goodbye. */
const FAULTS = [1002, 1003, 1007, 1008, 1009, 1010, 1011, 1014];
/** Of those, and of what others use, the ones after which another connection would end in the same way. */
const PERMANENT = [1002, 1003, 1007, 1008, 1009, 1010, 4400, 4401, 4403];
/** The code for an end without a goodbye. */
const CUT_SHORT = 1006;

/** The codes that we close with: a page may say no others than 1000, and those from 3000 on. */
const GOODBYE = 1000;
const PROTOCOL_ERROR = 4002;
const TEXT_MESSAGE = 4003;
const GIVEN_UP = 4008;

/** The reason that goes with a code has at most 123 bytes in UTF-8, and ours are of ASCII. */
const LONGEST_REASON = 123;

/** @implements {Declared.Peer} */
export class Peer {
  #socket;
  #limits;
  #onEvent;
  #decoder;
  #outbox;
  #calls;
  #requests;
  /** @type {CloseReason | undefined} Why it is not open any more. */
  #reason;
  #detail = "";
  /** Whether another connection would end in the same way. */
  #isPermanent = false;
  /** What the remote found wrong with the connection as a whole: it is about to close. */
  #complaint = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #frameTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #closeTimer;
  /** @type {(ended: Declared.Ended) => void} */
  #finish = () => {};
  #leave = () => {};

  /**
   * Made by `connect`, of an open socket.
   *
   * @param {WebSocket} socket
   * @param {ConnectOptions & {limits: Declared.Limits, services: Services}} options
   */
  constructor(socket, options) {
    this.wireformat = options.wireformat;
    this.url = socket.url;
    /** @type {Promise<Declared.Ended>} Resolves when the connection has ended, and never rejects. */
    this.closed = new Promise((resolve) => (this.#finish = resolve));
    /** @type {Promise<void>} Resolves as soon as it has begun to end. */
    this.left = new Promise((resolve) => (this.#leave = resolve));
    this.#socket = socket;
    this.#limits = options.limits;
    this.#onEvent = options.onEvent ?? toConsole;
    this.#decoder = new FrameDecoder(this.#limits.maxFrame);
    this.#outbox = new Outbox(
      socket,
      this.#limits,
      () => this.#pump(),
      () => this.#breakOff("write stalled", "the remote takes nothing", GIVEN_UP),
    );
    this.#calls = new Calls(this.#outbox, this.#limits);
    this.#requests = new Requests(this, this.#outbox, this.#limits, options.services, (event) => this.#tell(event));
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#socketClosed(event.code, event.reason);
    socket.onerror = () => {}; // `onclose` follows, and says all there is to know
  }

  get isOpen() {
    return this.#reason === undefined;
  }

  /** @param {string | Declared.Namespace} namespace */
  remote(namespace) {
    return this.remoteBy(this, namespace);
  }

  /**
   * @param {Caller} caller
   * @param {string | Declared.Namespace} namespace
   * @returns {any}
   */
  remoteBy(caller, namespace) {
    return new Remote(caller, namespace);
  }

  /**
   * @param {bigint} sid
   * @param {Uint8Array} payload
   * @param {Declared.CallOptions} [options]
   */
  callRaw(sid, payload, { timeout, signal } = {}) {
    return this.#calls.call(sid, payload, { timeout, signal });
  }

  /**
   * A call that a handler makes, and holds no permit meanwhile.
   *
   * @param {bigint} sid
   * @param {Uint8Array} payload
   * @param {Declared.CallOptions} [options]
   */
  callNested(sid, payload, { timeout, signal } = {}) {
    return this.#calls.call(sid, payload, { timeout, signal, isNested: true });
  }

  /**
   * @param {bigint} sid
   * @param {Uint8Array} payload
   * @param {Declared.CallOptions} [options]
   */
  async sendRaw(sid, payload, { timeout, signal } = {}) {
    await this.#calls.send(sid, payload, { timeout, signal });
  }

  /**
   * @param {string} [detail]
   * @param {{grace?: number}} [options]
   */
  async close(detail = "", { grace = 0 } = {}) {
    if (this.isOpen) {
      this.#end("closed locally", detail);
      const idle = this.#requests.drain();
      if (grace > 0) {
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        let timer;
        await Promise.race([idle, this.closed, new Promise((resolve) => (timer = after(grace, () => resolve(undefined))))]);
        clearTimeout(timer);
      }
      this.#requests.end();
      this.#hangUp(GOODBYE, detail);
    }
    return this.closed;
  }

  // -- what comes in -----------------------------------------------------------------------------------------------------

  /** @param {unknown} data */
  #receive(data) {
    if (this.#socket.readyState !== 1) {
      return; // we have hung up
    }
    if (!(data instanceof ArrayBuffer)) {
      this.#refuse(new errors.ProtocolError("a text message came: only binary messages are spoken here"), TEXT_MESSAGE);
      return;
    }
    this.#outbox.look();
    clearTimeout(this.#frameTimer);
    try {
      for (const frame of this.#decoder.frames(new Uint8Array(data))) {
        this.#take(frame);
      }
    } catch (error) {
      if (!(error instanceof errors.ProtocolError)) {
        throw error;
      }
      this.#refuse(error, PROTOCOL_ERROR);
      return;
    }
    if (this.#decoder.isInsideFrame) {
      this.#frameTimer = after(this.#limits.frameTimeout, () =>
        this.#breakOff("frame timeout", "the rest of a frame did not come", GIVEN_UP),
      );
    }
  }

  /** @param {import("./frames.mjs").Frame} frame */
  #take(frame) {
    if (frame.sid === RESPONSE) {
      this.#calls.settle(frame.cid, frame.payload);
    } else if (frame.sid !== ERROR) {
      this.#requests.receive(frame);
    } else {
      const error = errors.readError(frame.payload, this.wireformat.decode);
      if (frame.cid === 0n && error.kind === "DeserializeWireFormat") {
        this.#complaint = error.text || error.kind;
        this.#isPermanent = true;
      }
      if (!this.#calls.settle(frame.cid, errors.callError(error))) {
        this.#tell({ type: "errorReported", callId: frame.cid, ...error });
      }
    }
  }

  #pump() {
    this.#calls.pump();
    this.#requests.pump();
  }

  /** @param {Declared.PeerEvent} event */
  #tell(event) {
    try {
      this.#onEvent(event);
    } catch (error) {
      console.error("duologue: onEvent failed", error); // whoever looks on must not break the connection
    }
  }

  // -- how it ends -------------------------------------------------------------------------------------------------------

  /**
   * The remote has broken the protocol: tell it, and hang up.
   *
   * @param {Error} error
   * @param {number} code
   */
  #refuse(error, code) {
    const body = { DeserializeWireFormat: { context: error.message } };
    this.#outbox.write({ frame: encodeFrame(ERROR, 0n, this.wireformat.encode(body)) });
    this.#isPermanent = true;
    this.#breakOff("protocol error", error.message, code);
  }

  /**
   * @param {CloseReason} reason
   * @param {string} detail
   * @param {number} code
   */
  #breakOff(reason, detail, code) {
    this.#end(reason, detail);
    void this.#requests.drain();
    this.#requests.end();
    this.#hangUp(code, detail);
  }

  /**
   * @param {number} code
   * @param {string} detail
   */
  #hangUp(code, detail) {
    this.#outbox.flush();
    this.#outbox.close();
    this.#socket.close(code, detail.replace(/[^ -~]/g, "?").slice(0, LONGEST_REASON));
    // A remote that is gone does not answer, and the browser would wait for it for minutes.
    this.#closeTimer = after(this.#limits.closeTimeout, () => this.#socketClosed(CUT_SHORT, ""));
  }

  /**
   * It is not open any more. The first reason stays.
   *
   * @param {CloseReason} reason
   * @param {string} detail
   */
  #end(reason, detail) {
    if (this.#reason !== undefined) {
      return;
    }
    this.#reason = reason;
    this.#detail = detail;
    clearTimeout(this.#frameTimer);
    const Ending = reason === "closed locally" ? errors.ConnectionClosed : errors.ConnectionLost;
    this.#calls.end(
      (executed) => new Ending(reason, executed, detail),
      () => new errors.ConnectionClosed(reason, "no", detail),
    );
    this.#leave();
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #socketClosed(code, reason) {
    clearTimeout(this.#closeTimer);
    this.#outbox.close();
    if (FAULTS.includes(code)) {
      this.#end("transport failed", `the remote closed the WebSocket with code ${code}: ${reason || "no reason given"}`);
    } else if (code === CUT_SHORT) {
      this.#end("cut short", "the WebSocket ended without a goodbye");
    } else {
      this.#end("closed by remote", this.#complaint || reason);
    }
    void this.#requests.drain();
    this.#requests.end();
    this.#socket.onmessage = this.#socket.onclose = null;
    const isPermanent = this.#isPermanent || PERMANENT.includes(code);
    this.#finish({ reason: /** @type {CloseReason} */ (this.#reason), detail: this.#detail, code, isPermanent });
  }
}

/** @param {Declared.PeerEvent} event */
function toConsole(event) {
  if (event.type === "requestFailed") {
    console.error(`duologue: ${event.service} failed here: ${event.kind}`, event.error ?? "");
  } else if (event.type === "errorReported") {
    console.error(`duologue: the remote reports ${event.kind} ${event.text}`);
  }
}
