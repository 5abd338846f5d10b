// What the remote asks of this page: how many handlers run at once, what waits for its turn, and how each request ends (docs/protocol.md,
// section 4). A page can't stop reading a WebSocket, so what finds no room is refused, or dropped and told.

import { errorBody } from "./error_bodies.mjs";
import { FrameTooLarge, Overloaded, ProtocolError } from "./errors.mjs";
import { ERROR, HEADER_SIZE, RESPONSE, encodeFrame } from "./frames.mjs";
import { hexId } from "./ids.mjs";
import { Remote } from "./remote.mjs";

/** @import * as Declared from "./duologue.mjs" */
/** @typedef {Declared.FailureKind} FailureKind */
/** @typedef {import("./frames.mjs").Frame & {lent: number, isDone: boolean}} Request */

const SAME_ON_THE_WIRE = ["UnknownService", "Deserialize"];

/** Requests of one kind: calls, or sends. */
class Lane {
  running = 0;
  /** @type {Request[]} */
  parked = [];
  parkedBytes = 0;

  /**
   * @param {number} most that run at once
   * @param {number} mostParked
   * @param {number} mostBytes
   */
  constructor(most, mostParked, mostBytes) {
    this.most = most;
    this.mostParked = mostParked;
    this.mostBytes = mostBytes;
  }

  /** Whether another one is accepted, however large it is: to begin at once, or to wait. */
  get hasRoom() {
    const isIdle = this.running < this.most && this.parked.length === 0;
    return isIdle || (this.parked.length < this.mostParked && this.parkedBytes < this.mostBytes);
  }

  /** @param {Request} request */
  park(request) {
    this.parked.push(request);
    this.parkedBytes += request.payload.length;
  }

  /** The next one that may run, if there is one. */
  next() {
    const request = this.running < this.most ? this.parked.shift() : undefined;
    this.parkedBytes -= request?.payload.length ?? 0;
    return request;
  }
}

export class Requests {
  #peer;
  #outbox;
  #limits;
  #services;
  #report;
  #calls;
  #sends;
  #lent = 0;
  /** @type {Set<bigint>} The remote's calls that are not answered. */
  #live = new Set();
  #controller = new AbortController();
  #isClosing = false;
  #onIdle = () => {};

  /**
   * @param {import("./peer.mjs").Peer} peer
   * @param {import("./outbox.mjs").Outbox} outbox
   * @param {Declared.Limits} limits
   * @param {import("./services.mjs").Services} services
   * @param {(event: Declared.PeerEvent) => void} report
   */
  constructor(peer, outbox, limits, services, report) {
    this.#peer = peer;
    this.#outbox = outbox;
    this.#limits = limits;
    this.#services = services;
    this.#report = report;
    this.#calls = new Lane(limits.calls, limits.parked, limits.parkedBytes);
    this.#sends = new Lane(limits.sends, limits.sends, limits.sendsBytes);
  }

  /**
   * Throws `ProtocolError` for the id of a call that is not answered yet.
   *
   * @param {import("./frames.mjs").Frame} frame
   */
  receive(frame) {
    const request = { ...frame, lent: 0, isDone: false };
    const isCall = request.cid !== 0n;
    if (isCall && this.#live.has(request.cid)) {
      throw new ProtocolError(`a call has the id ${request.cid}, as one that is not answered yet`);
    }
    if (isCall) {
      this.#live.add(request.cid);
    }
    const lane = isCall ? this.#calls : this.#sends;
    if (this.#isClosing) {
      this.#fail(request, isCall ? "Unavailable" : "Dropped");
    } else if (lane.hasRoom) {
      lane.park(request);
      this.pump();
    } else {
      this.#fail(request, isCall ? "Overloaded" : "Dropped");
    }
  }

  /** Start what is parked, as far as there is room. */
  pump() {
    for (const lane of [this.#calls, this.#sends]) {
      let request;
      while (!this.#outbox.isFull && (request = lane.next()) !== undefined) {
        this.#run(request, lane);
      }
    }
  }

  /**
   * @param {Request} request
   * @param {Lane} lane
   */
  #run(request, lane) {
    const service = this.#services.find(request.sid);
    if (service === undefined) {
      this.#fail(request, "UnknownService");
      return;
    }
    let message;
    try {
      message = this.#peer.wireformat.decode(request.payload);
    } catch (error) {
      this.#fail(request, "Deserialize", error);
      return;
    }
    lane.running++;
    try {
      const answer = service.handler(message, this.#context(request, lane));
      if (typeof answer?.then === "function") {
        void this.#finish(request, lane, answer);
        return;
      }
      this.#respond(request, answer); // at once: only so it is known whether there is room for the next one's
    } catch (error) {
      this.#fail(request, "HandlerFailed", error);
    }
    this.#end(request, lane);
  }

  /**
   * @param {Request} request
   * @param {Lane} lane
   * @param {Promise<unknown>} answer
   */
  async #finish(request, lane, answer) {
    try {
      this.#respond(request, await answer);
    } catch (error) {
      this.#fail(request, "HandlerFailed", error);
    }
    this.#end(request, lane);
    this.pump();
  }

  /**
   * @param {Request} request
   * @param {Lane} lane
   */
  #end(request, lane) {
    request.isDone = true;
    if (request.lent === 0) {
      lane.running--;
    }
    this.#lookIdle();
  }

  /**
   * What a handler gets beside the message.
   *
   * @param {Request} request
   * @param {Lane} lane
   * @returns {Declared.Context}
   */
  #context(request, lane) {
    /** @type {import("./remote.mjs").Caller} */
    const caller = {
      wireformat: this.#peer.wireformat,
      sendRaw: (sid, payload, options) => this.#peer.sendRaw(sid, payload, options),
      // While a handler waits for the remote another may run, or two ends that call each other would come to stand still (docs/flow.md, F1).
      callRaw: async (sid, payload, options) => {
        if (this.#lent >= this.#limits.lent) {
          throw new Overloaded("too many handlers wait for the remote");
        }
        this.#lent++;
        if (request.lent++ === 0 && !request.isDone) {
          lane.running--;
          this.pump();
        }
        try {
          return await this.#peer.callNested(sid, payload, options);
        } finally {
          this.#lent--;
          if (--request.lent === 0 && !request.isDone) {
            lane.running++;
          }
          this.#lookIdle();
        }
      },
    };
    return {
      peer: this.#peer,
      callId: request.cid,
      signal: this.#controller.signal,
      remote: (namespace) => /** @type {any} */ (new Remote(caller, namespace)),
    };
  }

  /**
   * @param {Request} request
   * @param {unknown} answer
   */
  #respond(request, answer) {
    if (request.cid === 0n) {
      return;
    }
    let payload;
    try {
      payload = this.#peer.wireformat.encode(answer);
    } catch (error) {
      this.#fail(request, "Serialize", error);
      return;
    }
    const size = HEADER_SIZE + payload.length;
    if (size > this.#limits.maxFrame) {
      this.#fail(request, "FrameTooLarge", new FrameTooLarge(size, this.#limits.maxFrame));
      return;
    }
    this.#live.delete(request.cid);
    this.#outbox.write({ frame: encodeFrame(RESPONSE, request.cid, payload) });
  }

  /**
   * The remote learns the kind of what went wrong, and no more.
   *
   * @param {Request} request
   * @param {FailureKind} kind
   * @param {unknown} [error]
   */
  #fail({ sid, cid }, kind, error) {
    this.#live.delete(cid);
    this.#report({ type: "requestFailed", kind, service: this.#services.find(sid)?.name ?? hexId(sid), callId: cid, error });
    if (cid !== 0n) {
      const body = errorBody(SAME_ON_THE_WIRE.includes(kind) ? kind : "InternalServerError", sid, cid);
      this.#outbox.refuse({ frame: encodeFrame(ERROR, cid, this.#peer.wireformat.encode(body)) });
    }
  }

  /** Whether no handler runs. */
  get isIdle() {
    return this.#calls.running + this.#sends.running + this.#lent === 0;
  }

  #lookIdle() {
    if (this.isIdle) {
      this.#onIdle();
    }
  }

  /** From now on nothing is accepted; what is parked is refused. Resolves when no handler runs any more. */
  drain() {
    this.#isClosing = true;
    for (const lane of [this.#calls, this.#sends]) {
      for (const request of lane.parked.splice(0)) {
        this.#fail(request, request.cid === 0n ? "Dropped" : "Unavailable");
      }
    }
    return this.isIdle ? Promise.resolve() : /** @type {Promise<void>} */ (new Promise((resolve) => (this.#onIdle = resolve)));
  }

  /** Tell the handlers that nobody waits for them any more. */
  abort() {
    this.#controller.abort();
  }
}
