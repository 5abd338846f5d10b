// A client that connects again when its connection has ended, and tells each attempt. No call is ever made twice.

import { connect } from "./connect.mjs";
import { CallAborted, CallTimeout, ConnectFailed, ConnectionClosed, DuologueError, Overloaded, ReconnectFailed } from "./errors.mjs";
import { tellingTo } from "./events.mjs";
import { after, checkNumber, limitsWith } from "./limits.mjs";
import { Remote } from "./remote.mjs";
import { Services } from "./services.mjs";

/** @import * as Declared from "./duologue.mjs" */
/** @typedef {Declared.CallOptions} CallOptions */
/** @typedef {Declared.ReconnectOptions} ReconnectOptions */
/** @typedef {import("./peer.mjs").Peer} Peer */
/** @typedef {Declared.Outcome} Outcome */

/** What makes a wait pointless: the machine has a network again, or somebody has come back to the page. */
const COME_BACK = ["online", "pageshow"];

/** Times in milliseconds. */
const BACKOFF = { first: 100, factor: 2, longest: 30_000, stableAfter: 10_000, maxAttempts: Infinity };

/**
 * @param {string} url
 * @param {ReconnectOptions} options
 */
export function reconnecting(url, options) {
  return new Client(url, options);
}

/** @implements {Declared.Client} */
export class Client {
  #url;
  #options;
  #backoff;
  #limits;
  #tell;
  #controller = new AbortController();
  /** @type {Peer | undefined} */
  #peer;
  /** @type {Peer | undefined} The same, while `onConnect` is not done, too. */
  #current;
  /** @type {Set<{resolve: (peer: Peer) => void, reject: (error: Error) => void}>} Those who wait for a connection. */
  #waiting = new Set();
  /** @type {(() => Error) | undefined} Makes the errors of those who come when all is over. */
  #over;
  #attempt = 0;

  /**
   * @param {string} url
   * @param {ReconnectOptions} options
   */
  constructor(url, options) {
    this.#url = url;
    this.wireformat = options.wireformat;
    this.#limits = limitsWith(options.limits);
    this.#backoff = { ...BACKOFF, ...options.backoff };
    for (const [name, value] of Object.entries(this.#backoff)) {
      checkNumber(`backoff.${name}`, value);
    }
    /** @type {(event: Declared.ClientEvent) => void} */
    this.#tell = tellingTo(options.onEvent ?? (() => {}));
    // Made once: handlers that are added later are there on the next connection, too.
    this.#options = { ...options, services: Services.of(options.services) };
    /** @type {Promise<void>} Resolves when it is closed; rejects with `ReconnectFailed` when it has given up. */
    this.closed = this.#run();
    this.closed.catch(() => {}); // whoever does not look has been told by `onEvent` and by the calls
  }

  get peer() {
    return this.#peer?.isOpen ? this.#peer : undefined;
  }

  /**
   * @param {string | Declared.Namespace} namespace
   * @returns {any}
   */
  remote(namespace) {
    return new Remote(this, namespace);
  }

  /** @param {CallOptions} [options] */
  connected({ timeout = Infinity, signal } = {}) {
    return this.#connection(timeout, signal);
  }

  /**
   * @param {bigint} sid
   * @param {Uint8Array} payload
   * @param {CallOptions} [options]
   */
  async callRaw(sid, payload, { timeout = this.#limits.callTimeout, signal } = {}) {
    const start = performance.now();
    const peer = this.peer ?? (await this.#connection(timeout, signal));
    return peer.callRaw(sid, payload, { timeout: Math.max(0, timeout - (performance.now() - start)), signal });
  }

  /**
   * @param {bigint} sid
   * @param {Uint8Array} payload
   * @param {CallOptions} [options]
   */
  async sendRaw(sid, payload, { timeout = this.#limits.sendTimeout, signal } = {}) {
    const start = performance.now();
    const peer = this.peer ?? (await this.#connection(timeout, signal));
    return peer.sendRaw(sid, payload, { timeout: Math.max(0, timeout - (performance.now() - start)), signal });
  }

  /**
   * @param {string} [detail]
   * @param {{grace?: number}} [options]
   */
  async close(detail = "", options) {
    const peer = this.#current;
    this.#finish(() => new ConnectionClosed("closed locally", "no", detail));
    await peer?.close(detail, options);
    await this.closed.catch(() => {});
  }

  /**
   * The connection, as soon as there is one.
   *
   * @param {number} timeout
   * @param {AbortSignal} [signal]
   * @returns {Promise<Peer>}
   */
  #connection(timeout, signal) {
    return new Promise((resolve, reject) => {
      checkNumber("timeout", timeout);
      if (this.#over !== undefined) {
        throw this.#over();
      }
      if (signal?.aborted) {
        throw new CallAborted("no", signal.reason);
      }
      if (this.peer !== undefined) {
        resolve(this.peer);
        return;
      }
      if (this.#waiting.size >= this.#limits.waiting) {
        throw new Overloaded(`${this.#limits.waiting} wait for a connection already`);
      }
      const waiter = {
        /** @param {Peer} peer */
        resolve: (peer) => (leave(), resolve(peer)),
        /** @param {Error} error */
        reject: (error) => (leave(), reject(error)),
      };
      const timer = after(timeout, () => waiter.reject(new CallTimeout("no", "no connection within the timeout")));
      const onAbort = () => waiter.reject(new CallAborted("no", signal?.reason));
      signal?.addEventListener("abort", onAbort);
      const leave = () => {
        this.#waiting.delete(waiter);
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      this.#waiting.add(waiter);
    });
  }

  // -- attempts ----------------------------------------------------------------------------------------------------------

  async #run() {
    await undefined; // whoever has made the client has it before `onEvent` is told anything
    while (this.#over === undefined) {
      this.#attempt++;
      this.#tell({ type: "connecting", attempt: this.#attempt });
      const outcome = await this.#once();
      this.#peer = this.#current = undefined;
      if (this.#over !== undefined) {
        return;
      }
      const isOver = this.#givesUp(outcome) || this.#attempt >= this.#backoff.maxAttempts;
      const nextIn = isOver ? undefined : this.#wait();
      this.#tell({ ...outcome, nextIn });
      if (nextIn === undefined) {
        const error = outcome.type === "attemptFailed" ? outcome.error : new ConnectFailed(this.#url, `${outcome.reason}: ${outcome.detail}`);
        const cause = error instanceof Error ? error : new Error(String(error));
        this.#finish(() => new ReconnectFailed(cause));
        this.#tell({ type: "gaveUp", error: cause });
        throw new ReconnectFailed(cause);
      }
      await this.#pause(nextIn);
    }
  }

  /**
   * One attempt, and the connection that comes of it, to its end.
   *
   * @returns {Promise<Outcome>}
   */
  async #once() {
    const attempt = this.#attempt;
    let isPermanent = true;
    let peer;
    try {
      peer = await connect(this.#url, { ...this.#options, signal: this.#controller.signal });
      isPermanent = false; // what follows is the program's own
      this.#current = peer;
      this.#controller.signal.throwIfAborted(); // it may have been closed just as this was opened
      await Promise.race([
        this.#options.onConnect?.(peer),
        peer.left.then(() => Promise.reject(new ConnectFailed(this.#url, "the connection ended before onConnect was done"))),
      ]);
    } catch (error) {
      void peer?.close();
      const isFinal = error instanceof DuologueError ? "isPermanent" in error && error.isPermanent === true : isPermanent;
      return { type: "attemptFailed", attempt, error, isPermanent: isFinal };
    }
    this.#peer = peer;
    const since = performance.now();
    this.#tell({ type: "connected", attempt, peer });
    for (const waiter of [...this.#waiting]) {
      waiter.resolve(peer);
    }
    const ended = await peer.closed;
    if (performance.now() - since >= this.#backoff.stableAfter) {
      this.#attempt = 0;
    }
    return { type: "disconnected", ...ended };
  }

  /** @param {Outcome} outcome */
  #givesUp(outcome) {
    return this.#options.givesUp?.(outcome) ?? outcome.isPermanent;
  }

  /** How long to wait before the next attempt: a random part of a time that grows, so that not all pages come back at once. */
  #wait() {
    const { first, factor, longest } = this.#backoff;
    // The power becomes infinite, and 0 times that is no number.
    return Math.random() * Math.min(longest, first === 0 ? 0 : first * factor ** this.#attempt);
  }

  /** @param {number} milliseconds or until there is reason to try again */
  #pause(milliseconds) {
    return /** @type {Promise<void>} */ (
      new Promise((resolve) => {
        const timer = after(milliseconds, () => go());
        const go = () => {
          clearTimeout(timer);
          COME_BACK.forEach((type) => globalThis.removeEventListener?.(type, go));
          this.#controller.signal.removeEventListener("abort", go);
          resolve();
        };
        COME_BACK.forEach((type) => globalThis.addEventListener?.(type, go));
        this.#controller.signal.addEventListener("abort", go);
      })
    );
  }

  /**
   * There will be no more attempts.
   *
   * @param {() => Error} over makes the errors of those who wait, and of those who come later
   */
  #finish(over) {
    if (this.#over === undefined) {
      this.#over = over;
      this.#controller.abort();
      for (const waiter of [...this.#waiting]) {
        waiter.reject(over());
      }
    }
  }
}
