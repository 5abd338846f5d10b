// Names and handlers: which service id is which message of which namespace, and what runs for it here.

import { DuologueError } from "./errors.mjs";
import { checkedId, hexId, serviceId } from "./ids.mjs";

/** @import * as Declared from "./duologue.mjs" */
/** @typedef {Declared.Handler} Handler */

/**
 * A set of messages under one name. Where the name alone says all, a text will do in its place.
 *
 * @implements {Declared.Namespace}
 */
export class Namespace {
  #names;
  #ids;
  /** @type {Map<string, bigint>} */
  #sids = new Map();

  /**
   * @param {string} name
   * @param {{names?: Record<string, string>, ids?: Record<string, bigint>}} [options] what the other end declares so, too
   */
  constructor(name, { names = {}, ids = {} } = {}) {
    this.name = name;
    this.#names = new Map(Object.entries(names));
    this.#ids = new Map(Object.entries(ids));
  }

  /**
   * The service id of a message.
   *
   * @param {string} message
   */
  sid(message) {
    let sid = this.#sids.get(message);
    if (sid === undefined) {
      const given = this.#ids.get(message);
      const name = this.#names.get(message) ?? message;
      sid = given === undefined ? serviceId(this.name, name) : checkedId(given, `${this.name}::${name}`);
      this.#sids.set(message, sid);
    }
    return sid;
  }
}

/** @param {string | Declared.Namespace} namespace */
export function namespaceOf(namespace) {
  return typeof namespace === "string" ? new Namespace(namespace) : namespace;
}

/**
 * The handlers of a page. They may come and go while it is connected.
 *
 * @implements {Declared.Services}
 */
export class Services {
  /** @type {Map<bigint, {name: string, handler: Handler}>} */
  #handlers = new Map();

  /**
   * What `connect` was given: services, an object with the handlers of each namespace by its name, or nothing.
   *
   * @param {Declared.Services | Record<string, Declared.Handlers>} [given]
   */
  static of(given = {}) {
    if (given instanceof Services) {
      return given;
    }
    const services = new Services();
    for (const [namespace, handlers] of Object.entries(given)) {
      services.add(namespace, handlers);
    }
    return services;
  }

  /**
   * @param {string | Declared.Namespace} namespace
   * @param {Declared.Handlers} handlers by the name of the message
   */
  add(namespace, handlers) {
    const known = namespaceOf(namespace);
    for (const [message, handler] of Object.entries(handlers)) {
      if (typeof handler !== "function") {
        throw new TypeError(`the handler of ${known.name}::${message} is no function`);
      }
      const sid = known.sid(message);
      const taken = this.#handlers.get(sid);
      if (taken !== undefined) {
        throw new DuologueError("ServiceId", `${taken.name} has a handler for ${hexId(sid)} already: remove that first`);
      }
      this.#handlers.set(sid, { name: `${known.name}::${message}`, handler });
    }
    return this;
  }

  /**
   * @param {string | Declared.Namespace} namespace
   * @param {string} message
   */
  remove(namespace, message) {
    this.#handlers.delete(namespaceOf(namespace).sid(message));
    return this;
  }

  /** @param {bigint} sid */
  find(sid) {
    return this.#handlers.get(sid);
  }
}
