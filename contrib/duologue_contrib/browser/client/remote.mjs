// The services of a namespace at the other end.

import { AnswerUnreadable, CallError } from "./errors.mjs";
import { namespaceOf } from "./services.mjs";

/** @import * as Declared from "./duologue.mjs" */

/**
 * What a `Remote` calls through.
 *
 * @typedef {object} Caller
 * @property {Declared.WireFormat} wireformat
 * @property {(sid: bigint, payload: Uint8Array, options?: any) => Promise<Uint8Array>} callRaw
 * @property {(sid: bigint, payload: Uint8Array, options?: any) => Promise<void>} sendRaw
 */

/** Types are in the declarations: here it is all `any`. */
export class Remote {
  #caller;
  #namespace;

  /**
   * @param {Caller} caller
   * @param {string | Declared.Namespace} namespace
   */
  constructor(caller, namespace) {
    this.#caller = caller;
    this.#namespace = namespaceOf(namespace);
  }

  /**
   * @param {string} name
   * @param {any} [message]
   * @param {Declared.CallOptions} [options]
   * @returns {Promise<any>}
   */
  async call(name, message, options) {
    const { encode, decode } = this.#caller.wireformat;
    const answer = await this.#named(name, this.#caller.callRaw(this.#namespace.sid(name), encode(message), options));
    try {
      return decode(answer);
    } catch (error) {
      return this.#named(name, Promise.reject(new AnswerUnreadable(/** @type {Error} */ (error))));
    }
  }

  /**
   * @param {string} name
   * @param {any} [message]
   * @param {Declared.CallOptions} [options]
   */
  async send(name, message, options) {
    const payload = this.#caller.wireformat.encode(message);
    await this.#named(name, this.#caller.sendRaw(this.#namespace.sid(name), payload, options));
  }

  /**
   * What comes of it; an error says which service it is about.
   *
   * @template T
   * @param {string} name
   * @param {Promise<T>} outcome
   * @returns {Promise<T>}
   */
  async #named(name, outcome) {
    try {
      return await outcome;
    } catch (error) {
      if (error instanceof CallError) {
        error.service = `${this.#namespace.name}::${name}`;
        error.message = `${error.service}: ${error.message}`;
      }
      throw error;
    }
  }
}
