// What can go wrong, as one tree. Each failed call says by `executed` whether its handler may have run: "no", "yes" or "unknown"
// (docs/protocol.md, "What `executed` says").

/** @import * as Declared from "./duologue.mjs" */
/** @typedef {Declared.Executed} Executed */
/** @typedef {Declared.CloseReason} CloseReason */

/** @implements {Declared.DuologueError} */
export class DuologueError extends Error {
  static {
    this.prototype.name = "DuologueError"; // not by the class's own name, which a minifier changes
  }

  /**
   * @param {string} kind
   * @param {string} message
   * @param {unknown} [cause]
   */
  constructor(kind, message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }
}

/** @implements {Declared.ProtocolError} */
export class ProtocolError extends DuologueError {
  static {
    this.prototype.name = "ProtocolError";
  }

  /**
   * @param {string} message
   * @param {string} [kind]
   */
  constructor(message, kind = "ProtocolError") {
    super(kind, message);
  }
}

/** @implements {Declared.FrameTooLarge} */
export class FrameTooLarge extends ProtocolError {
  static {
    this.prototype.name = "FrameTooLarge";
  }
  /** @type {Executed} */
  executed = "no";

  /**
   * @param {number | bigint} size
   * @param {number} limit
   */
  constructor(size, limit) {
    super(`a frame of ${size} bytes is over the limit of ${limit}: send less, or raise maxFrame on both ends`, "FrameTooLarge");
    this.size = size;
    this.limit = limit;
  }
}

/** @implements {Declared.EncodeError} */
export class EncodeError extends DuologueError {
  static {
    this.prototype.name = "EncodeError";
  }
  /** @type {Executed} */
  executed = "no";

  /**
   * @param {string} message
   * @param {unknown} [cause]
   */
  constructor(message, cause) {
    super("Encode", message, cause);
  }
}

/** @implements {Declared.DecodeError} */
export class DecodeError extends DuologueError {
  static {
    this.prototype.name = "DecodeError";
  }

  /**
   * @param {string} message
   * @param {unknown} [cause]
   */
  constructor(message, cause) {
    super("Decode", message, cause);
  }
}

/** @implements {Declared.ConnectFailed} */
export class ConnectFailed extends DuologueError {
  static {
    this.prototype.name = "ConnectFailed";
  }

  /**
   * @param {string} url
   * @param {string} message
   * @param {{isPermanent?: boolean, cause?: unknown}} [options]
   */
  constructor(url, message, { isPermanent = false, cause } = {}) {
    super("ConnectFailed", `can't connect to ${url}: ${message}`, cause);
    this.url = url;
    this.isPermanent = isPermanent;
  }
}

/** @implements {Declared.CallError} */
export class CallError extends DuologueError {
  static {
    this.prototype.name = "CallError";
  }
  /** The name of the service that was called, if it was called by a `Remote`. */
  service = "";

  /**
   * @param {string} kind
   * @param {Executed} executed
   * @param {string} message
   * @param {unknown} [cause]
   */
  constructor(kind, executed, message, cause) {
    super(kind, `${message} (executed: ${executed})`, cause);
    this.executed = executed;
  }
}

/** @implements {Declared.CallTimeout} */
export class CallTimeout extends CallError {
  static {
    this.prototype.name = "CallTimeout";
  }

  /**
   * @param {Executed} executed
   * @param {string} [message]
   */
  constructor(executed, message = "no answer within the timeout") {
    super("Timeout", executed, message);
  }
}

/** @implements {Declared.CallAborted} */
export class CallAborted extends CallError {
  static {
    this.prototype.name = "AbortError"; // what programs look for, whatever was aborted
  }

  /**
   * @param {Executed} executed
   * @param {unknown} cause the signal's reason
   */
  constructor(executed, cause) {
    super("Aborted", executed, "the call was aborted", cause);
  }
}

/** @type {Record<string, string>} Where to look, for whoever reads the text of an error: as in Python. */
const HINTS = {
  UnknownService: "does it serve that namespace?",
  Deserialize: "have both ends the same message class?",
  InternalServerError: "its log may say more",
  PubSubNoCall: "it is published there, so send it",
};

/** @implements {Declared.RemoteError} */
export class RemoteError extends CallError {
  static {
    this.prototype.name = "RemoteError";
  }

  /**
   * @param {string} kind
   * @param {Executed} executed
   * @param {string} [text]
   */
  constructor(kind, executed, text = "") {
    const hint = HINTS[kind];
    super(kind, executed, `the remote answered ${kind}${text ? `: ${text}` : hint ? `; ${hint}` : ""}`);
  }
}

/** @implements {Declared.AnswerUnreadable} */
export class AnswerUnreadable extends CallError {
  static {
    this.prototype.name = "AnswerUnreadable";
  }

  /** @param {Error} cause */
  constructor(cause) {
    super("AnswerUnreadable", "yes", `the answer can't be read: ${cause.message}`, cause);
  }
}

/** @implements {Declared.Overloaded} */
export class Overloaded extends CallError {
  static {
    this.prototype.name = "Overloaded";
  }

  /** @param {string} message */
  constructor(message) {
    super("Overloaded", "no", message);
  }
}

/** @implements {Declared.ConnectionClosed} */
export class ConnectionClosed extends CallError {
  static {
    this.prototype.name = "ConnectionClosed";
  }

  /**
   * @param {CloseReason} reason
   * @param {Executed} executed
   * @param {string} [detail]
   */
  constructor(reason, executed, detail = "") {
    super("ConnectionClosed", executed, `the connection is closed: ${reason}${detail && ` (${detail})`}`);
    this.reason = reason;
  }
}

/** @implements {Declared.ConnectionLost} */
export class ConnectionLost extends CallError {
  static {
    this.prototype.name = "ConnectionLost";
  }

  /**
   * @param {CloseReason} reason
   * @param {Executed} executed
   * @param {string} [detail]
   */
  constructor(reason, executed, detail = "") {
    super("ConnectionLost", executed, `the connection was lost: ${reason}${detail && ` (${detail})`}`);
    this.reason = reason;
  }
}

/** @implements {Declared.ReconnectFailed} */
export class ReconnectFailed extends CallError {
  static {
    this.prototype.name = "ReconnectFailed";
  }

  /** @param {Error} cause */
  constructor(cause) {
    super("ReconnectFailed", "no", `there will be no more attempts to connect: ${cause.message}`, cause);
  }
}

/**
 * The text of whatever was thrown, which need not be an error.
 *
 * @param {unknown} error
 */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
