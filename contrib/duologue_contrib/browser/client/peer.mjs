// One connection: a WebSocket, what goes out through it, and what comes in. Both ends have the same rights.

import { Calls } from "./calls.mjs";
import { GIVEN_UP, GOODBYE, LOST, PROTOCOL_ERROR, TEXT_MESSAGE, endOf, isForGood, reasonFor } from "./endings.mjs";
import { callError, readError } from "./error_bodies.mjs";
import { ConnectionClosed, ConnectionLost, ProtocolError } from "./errors.mjs";
import { tellingTo, toConsole } from "./events.mjs";
import { ERROR, FrameDecoder, RESPONSE, encodeFrame } from "./frames.mjs";
import { whenLeft } from "./leaving.mjs";
import { after } from "./limits.mjs";
import { Outbox } from "./outbox.mjs";
import { Remote } from "./remote.mjs";
import { Requests } from "./requests.mjs";

/** @import * as Declared from "./duologue.mjs" */
/** @typedef {Declared.CloseReason} CloseReason */
/** @typedef {Declared.ConnectOptions} ConnectOptions */
/** @typedef {import("./services.mjs").Services} Services */

/** @implements {Declared.Peer} */
export class Peer {
  #socket;
  #limits;
  #tell;
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
  #stopWatching;
  #areOursFirst = false;

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
    this.#tell = tellingTo(options.onEvent ?? toConsole);
    this.#decoder = new FrameDecoder(this.#limits.maxFrame);
    this.#outbox = new Outbox(
      socket,
      this.#limits,
      () => this.#pump(),
      () => this.#breakOff("write stalled", "the remote takes nothing", GIVEN_UP),
    );
    this.#calls = new Calls(this.#outbox, this.#limits);
    this.#requests = new Requests(this, this.#outbox, this.#limits, options.services, this.#tell);
    this.#stopWatching = whenLeft(() => this.#pageLeft());
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#socketClosed(event.code, event.reason);
    socket.onerror = () => {}; // `onclose` follows, and says all there is to know
  }

  get isOpen() {
    return this.#reason === undefined;
  }

  /**
   * @param {string | Declared.Namespace} namespace
   * @returns {any}
   */
  remote(namespace) {
    return new Remote(this, namespace);
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
      this.#requests.abort();
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
      this.#refuse(new ProtocolError("a text message came: only binary messages are spoken here"), TEXT_MESSAGE);
      return;
    }
    this.#outbox.look();
    let isSameFrame = this.#decoder.isInsideFrame;
    try {
      for (const frame of this.#decoder.frames(new Uint8Array(data))) {
        isSameFrame = false;
        this.#take(frame);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) {
        throw error;
      }
      this.#refuse(error, PROTOCOL_ERROR);
      return;
    }
    if (!isSameFrame) {
      clearTimeout(this.#frameTimer);
    }
    if (this.isOpen && this.#decoder.isInsideFrame && !isSameFrame) {
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
      const error = readError(frame.payload, this.wireformat.decode);
      if (frame.cid === 0n && error.kind === "DeserializeWireFormat") {
        this.#complaint = error.text || error.kind;
        this.#isPermanent = true;
      }
      if (!this.#calls.settle(frame.cid, callError(error))) {
        this.#tell({ type: "errorReported", callId: frame.cid, ...error });
      }
    }
  }

  /** There is room. What comes first may take it all, so that is own requests and the remote's in turn. */
  #pump() {
    const both = [this.#calls, this.#requests];
    this.#areOursFirst = !this.#areOursFirst;
    for (const each of this.#areOursFirst ? both : both.toReversed()) {
      each.pump();
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
    this.#requests.abort();
    this.#hangUp(code, detail);
  }

  /** All ends here and now: as long as the page is kept nothing runs in it. */
  #pageLeft() {
    this.#breakOff("cut short", "the page was left", GOODBYE);
    this.#socketClosed(GOODBYE, "");
  }

  /**
   * @param {number} code
   * @param {string} detail
   */
  #hangUp(code, detail) {
    if (this.#socket.onclose === null) {
      return; // it has ended, while handlers had their grace
    }
    this.#outbox.flush();
    this.#outbox.close();
    this.#socket.close(code, reasonFor(detail));
    // A remote that is gone does not answer, and the browser would wait for it for minutes.
    clearTimeout(this.#closeTimer);
    this.#closeTimer = after(this.#limits.closeTimeout, () => this.#socketClosed(LOST, ""));
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
    const Ending = reason === "closed locally" ? ConnectionClosed : ConnectionLost;
    this.#calls.end(
      (executed) => new Ending(reason, executed, detail),
      () => new ConnectionClosed(reason, "no", detail),
    );
    this.#leave();
  }

  /**
   * @param {number} code
   * @param {string} text
   */
  #socketClosed(code, text) {
    clearTimeout(this.#closeTimer);
    this.#stopWatching();
    this.#outbox.close();
    const { reason, detail } = endOf(code, this.#complaint || text);
    this.#end(reason, detail);
    void this.#requests.drain();
    this.#requests.abort();
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#finish({ reason: this.#reason ?? reason, detail: this.#detail, code, isPermanent: this.#isPermanent || isForGood(code) });
  }
}
