// Own calls and sends: which answer belongs to which call, how long each waits, and how many there may be (docs/flow.md).

import { CallAborted, CallTimeout, FrameTooLarge, Overloaded, ProtocolError } from "./errors.mjs";
import { HEADER_SIZE, encodeFrame } from "./frames.mjs";
import { after, checkNumber } from "./limits.mjs";

/** @import * as Declared from "./duologue.mjs" */
/** @typedef {Declared.Executed} Executed */

const IDS = 2n ** 64n;
const STRAYS_WITHIN = 10_000;

/** A call, or a send: the same but for the answer. */
class Ticket {
  /** @type {Uint8Array<ArrayBuffer>} Its frame, as soon as it is in the outbox. */
  frame = new Uint8Array(0);
  cid = 0n;
  isSent = false;
  isOver = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  timer;
  onAbort = () => {};

  /**
   * @param {boolean} isCall
   * @param {bigint} sid
   * @param {Uint8Array} payload
   * @param {AbortSignal | undefined} signal
   * @param {(answer?: Uint8Array) => void} resolve
   * @param {(error: Error) => void} reject
   */
  constructor(isCall, sid, payload, signal, resolve, reject) {
    this.isCall = isCall;
    this.sid = sid;
    this.payload = payload;
    this.signal = signal;
    this.resolve = resolve;
    this.reject = reject;
  }

  /** @returns {Executed} of a call that ends without an answer */
  get executed() {
    return this.isSent && this.isCall ? "unknown" : "no";
  }

  /** Nothing can happen to it any more. */
  finish() {
    this.isOver = true;
    clearTimeout(this.timer);
    this.signal?.removeEventListener("abort", this.onAbort);
  }
}

export class Calls {
  #outbox;
  #limits;
  #last;
  /** @type {Map<bigint, Ticket>} */
  #pending = new Map();
  /** @type {Map<bigint, ReturnType<typeof setTimeout> | undefined>} Calls that nobody waits for, and that the remote may still be at. */
  #givenUp = new Map();
  /** @type {Ticket[]} */
  #waitingCalls = [];
  /** @type {Ticket[]} */
  #waitingSends = [];
  /** @type {(() => Error) | undefined} Makes the errors of calls that come too late. */
  #afterwards;
  #strays = 0;
  #straysSince = 0;

  /**
   * @param {import("./outbox.mjs").Outbox} outbox
   * @param {Declared.Limits} limits
   * @param {bigint} [last] the id that was given out last
   */
  constructor(outbox, limits, last = 0n) {
    this.#outbox = outbox;
    this.#limits = limits;
    this.#last = last;
  }

  /** Calls that the remote has not answered, those that nobody waits for included. */
  get owed() {
    return this.#pending.size + this.#givenUp.size;
  }

  /**
   * Call, and wait for the answer. A call made in a handler never waits for others: they may wait for the handler.
   *
   * @param {bigint} sid
   * @param {Uint8Array} payload
   * @param {{timeout?: number, signal?: AbortSignal, isNested?: boolean}} [options]
   * @returns {Promise<Uint8Array>}
   */
  call(sid, payload, { timeout = this.#limits.callTimeout, signal, isNested = false } = {}) {
    return this.#promised(true, sid, payload, timeout, signal, () => {
      if (isNested && this.owed >= 2 * this.#limits.owed) {
        throw new Overloaded("too many calls of handlers are not answered yet");
      }
      const goesOn = isNested || (this.#waitingCalls.length === 0 && this.owed < this.#limits.owed);
      return goesOn && !this.#outbox.isFull ? undefined : this.#waitingCalls;
    });
  }

  /**
   * Send one way. Done when it is in the outbox.
   *
   * @param {bigint} sid
   * @param {Uint8Array} payload
   * @param {{timeout?: number, signal?: AbortSignal}} [options]
   * @returns {Promise<unknown>}
   */
  send(sid, payload, { timeout = this.#limits.sendTimeout, signal } = {}) {
    return this.#promised(false, sid, payload, timeout, signal, () =>
      this.#waitingSends.length === 0 && !this.#outbox.isFull ? undefined : this.#waitingSends,
    );
  }

  /**
   * @param {boolean} isCall
   * @param {bigint} sid
   * @param {Uint8Array} payload
   * @param {number} timeout
   * @param {AbortSignal | undefined} signal
   * @param {() => Ticket[] | undefined} queueFor where it has to wait, if it has to
   * @returns {Promise<any>}
   */
  #promised(isCall, sid, payload, timeout, signal, queueFor) {
    return new Promise((resolve, reject) => {
      checkNumber("timeout", timeout);
      if (HEADER_SIZE + payload.length > this.#limits.maxFrame) {
        throw new FrameTooLarge(HEADER_SIZE + payload.length, this.#limits.maxFrame);
      }
      if (this.#afterwards !== undefined) {
        throw this.#afterwards();
      }
      if (signal?.aborted) {
        throw new CallAborted("no", signal.reason);
      }
      if (timeout === 0) {
        throw new CallTimeout("no");
      }
      const queue = queueFor();
      if (queue !== undefined && this.#waitingCalls.length + this.#waitingSends.length >= this.#limits.waiting) {
        throw new Overloaded(`${this.#limits.waiting} calls and sends wait for room already`);
      }
      const ticket = new Ticket(isCall, sid, payload, signal, resolve, reject);
      ticket.timer = after(timeout, () =>
        this.#giveUp(ticket, new CallTimeout(ticket.executed, isCall ? undefined : "no room to send within the timeout")),
      );
      ticket.onAbort = () => this.#giveUp(ticket, new CallAborted(ticket.executed, signal?.reason));
      signal?.addEventListener("abort", ticket.onAbort);
      if (queue === undefined) {
        this.#start(ticket);
      } else {
        queue.push(ticket);
      }
    });
  }

  /** Start what waits, as far as there is room. */
  pump() {
    while (!this.#outbox.isFull && this.#waitingSends.length > 0) {
      this.#start(/** @type {Ticket} */ (this.#waitingSends.shift()));
    }
    while (!this.#outbox.isFull && this.#waitingCalls.length > 0 && this.owed < this.#limits.owed) {
      this.#start(/** @type {Ticket} */ (this.#waitingCalls.shift()));
    }
  }

  /** @param {Ticket} ticket */
  #start(ticket) {
    if (ticket.isCall) {
      ticket.cid = this.#nextId();
      this.#pending.set(ticket.cid, ticket);
    }
    ticket.frame = encodeFrame(ticket.sid, ticket.cid, ticket.payload);
    ticket.payload = new Uint8Array(0); // it is in the frame, and need not be kept twice
    if (ticket.isCall) {
      this.#outbox.write(ticket);
    } else {
      this.#outbox.write({ frame: ticket.frame });
      ticket.finish();
      ticket.resolve();
    }
  }

  /** Ids rise from 1, and leave out 0 and those of calls that are still open. */
  #nextId() {
    do {
      this.#last = (this.#last + 1n) % IDS;
    } while (this.#last === 0n || this.#pending.has(this.#last) || this.#givenUp.has(this.#last));
    return this.#last;
  }

  /**
   * @param {Ticket} ticket
   * @param {Error} error
   */
  #giveUp(ticket, error) {
    const queue = ticket.isCall ? this.#waitingCalls : this.#waitingSends;
    const index = queue.indexOf(ticket);
    if (index >= 0) {
      queue.splice(index, 1);
    } else if (this.#pending.delete(ticket.cid) && ticket.isSent) {
      // It counts as owed on: nobody can tell the remote to stop. But not for ever.
      this.#givenUp.set(ticket.cid, after(this.#limits.givenUp, () => this.#forget(ticket.cid)));
    }
    ticket.finish();
    ticket.reject(error);
    this.pump();
  }

  /**
   * A given-up call is not owed any more. Says whether it was.
   *
   * @param {bigint} cid
   */
  #forget(cid) {
    clearTimeout(this.#givenUp.get(cid));
    const wasOwed = this.#givenUp.delete(cid);
    this.pump();
    return wasOwed;
  }

  /**
   * A response or an error has come for a call: the payload, or the error that it ends with. Says whether anybody waited for it.
   *
   * @param {bigint} cid
   * @param {Uint8Array | Error} outcome
   */
  settle(cid, outcome) {
    const ticket = this.#pending.get(cid);
    if (ticket === undefined) {
      if (!this.#forget(cid) && !this.#wasIssued(cid)) {
        this.#countStray();
      }
      return false;
    }
    this.#pending.delete(cid);
    ticket.finish();
    if (outcome instanceof Error) {
      ticket.reject(outcome);
    } else {
      ticket.resolve(outcome);
    }
    this.pump();
    return true;
  }

  /** An answer to nothing. Throws `ProtocolError` when there are too many. */
  #countStray() {
    const now = performance.now();
    if (now - this.#straysSince > STRAYS_WITHIN) {
      this.#straysSince = now;
      this.#strays = 0;
    }
    this.#strays++;
    if (this.#strays > this.#limits.strays) {
      throw new ProtocolError(`more than ${this.#limits.strays} answers within 10 s were to calls that never were`);
    }
  }

  /**
   * Whether a call had this id: the half of the circle behind the last one has been issued.
   *
   * @param {bigint} cid
   */
  #wasIssued(cid) {
    const behind = (this.#last + 1n - cid + IDS) % IDS;
    return cid !== 0n && behind > 0n && behind < IDS / 2n;
  }

  /**
   * All calls end, and no new ones begin.
   *
   * @param {(executed: Executed) => Error} ending makes the error of each that ends now
   * @param {() => Error} afterwards makes the errors of those that come later
   */
  end(ending, afterwards) {
    this.#afterwards = afterwards;
    const tickets = [...this.#pending.values(), ...this.#waitingCalls, ...this.#waitingSends];
    this.#givenUp.forEach((timer) => clearTimeout(timer));
    this.#pending.clear();
    this.#givenUp.clear();
    this.#waitingCalls = [];
    this.#waitingSends = [];
    for (const ticket of tickets) {
      ticket.finish();
      ticket.reject(ending(ticket.executed));
    }
  }
}
