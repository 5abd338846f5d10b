// Outgoing frames: what leaves together is one message, and what the socket has not taken yet is looked at, so that it stays bounded.

import { after } from "./limits.mjs";

/** @import * as Declared from "./duologue.mjs" */

/** Small frames are joined to messages of up to this size (docs/protocol.md, section 6). */
const LARGEST_JOINED = 64 * 1024;

const OPEN = 1;

/**
 * Something to be sent. If it is over before that it stays here: so a call that was given up knows that it never left.
 *
 * @typedef {object} Outgoing
 * @property {Uint8Array<ArrayBuffer>} frame
 * @property {boolean} [isOver]
 * @property {boolean} [isSent]
 */

export class Outbox {
  #socket;
  #limits;
  #onRoom;
  #onStalled;
  /** @type {Outgoing[]} What the current task has written. It leaves when that is done. */
  #entries = [];
  #size = 0;
  #isFull = false;
  #isClosed = false;
  /** Bytes that refusals have put in since there was room. */
  #refused = 0;
  #lowest = 0;
  #loweredAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {WebSocket} socket
   * @param {Declared.Limits} limits
   * @param {() => void} onRoom called when there is room again
   * @param {() => void} onStalled called when the socket has taken nothing for too long
   */
  constructor(socket, limits, onRoom, onStalled) {
    this.#socket = socket;
    this.#limits = limits;
    this.#onRoom = onRoom;
    this.#onStalled = onStalled;
  }

  /** Whether own requests have to wait, and the remote's are not started: what is unsent was over the high-water mark, and is not yet under the low one. */
  get isFull() {
    return this.#isFull;
  }

  /** @param {Outgoing} entry */
  write(entry) {
    if (this.#isClosed) {
      return;
    }
    if (this.#entries.push(entry) === 1) {
      queueMicrotask(() => this.flush());
    }
    this.#size += entry.frame.length;
    if (!this.#isFull && this.#level >= this.#limits.outboxHigh) {
      this.#isFull = true;
      this.#lowest = Infinity;
      this.look();
    }
  }

  /**
   * Write an answer that says no. There is one for each request, however full it is here, and it is larger than that: a remote that asks on
   * and takes no answers would have it grow without a bound, so it is given up.
   *
   * @param {Outgoing} entry
   */
  refuse(entry) {
    this.write(entry);
    this.#refused = this.#isFull ? this.#refused + entry.frame.length : 0;
    if (this.#refused > this.#limits.parkedBytes) {
      this.#onStalled();
    }
  }

  /** Hand over what there is to the socket. */
  flush() {
    const entries = this.#entries;
    this.#entries = [];
    this.#size = 0;
    if (this.#socket.readyState !== OPEN) {
      return;
    }
    /** @type {Uint8Array<ArrayBuffer>[]} */
    let message = [];
    let size = 0;
    for (const entry of entries) {
      if (entry.isOver) {
        continue;
      }
      entry.isSent = true;
      if (size > 0 && size + entry.frame.length > LARGEST_JOINED) {
        this.#socket.send(joined(message, size));
        message = [];
        size = 0;
      }
      message.push(entry.frame);
      size += entry.frame.length;
    }
    if (size > 0) {
      this.#socket.send(joined(message, size));
    }
  }

  /** See whether there is room again. No event tells it, so it is looked at as often as timers come, and whenever something arrives. */
  look() {
    if (!this.#isFull) {
      return;
    }
    clearTimeout(this.#timer);
    const level = this.#level;
    if (level <= this.#limits.outboxLow) {
      this.#isFull = false;
      this.#onRoom();
      return;
    }
    const now = performance.now();
    if (level < this.#lowest) {
      this.#lowest = level;
      this.#loweredAt = now;
    } else if (now - this.#loweredAt >= this.#limits.requestsStalled) {
      this.#onStalled();
      return;
    }
    this.#timer = after(0, () => this.look());
  }

  /** Nothing leaves any more. */
  close() {
    clearTimeout(this.#timer);
    this.#isClosed = true;
    this.#isFull = false;
    this.#entries = [];
  }

  get #level() {
    return this.#size + this.#socket.bufferedAmount;
  }
}

/**
 * @param {Uint8Array<ArrayBuffer>[]} pieces
 * @param {number} size
 */
function joined(pieces, size) {
  if (pieces.length === 1) {
    return pieces[0];
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
