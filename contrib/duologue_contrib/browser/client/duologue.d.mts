/** Duologue for a page: typed messages between it and its server, in both directions, over one WebSocket. See docs/browser.md. */

/** Connect once. Rejects with `ConnectFailed`, and with the reason of `options.signal`. In a page a path will do as URL: "/". */
export function connect(url: string, options: ConnectOptions): Promise<Peer>;

/** A client that connects now, and again whenever its connection has ended, until it is closed or further attempts are useless. */
export function reconnecting(url: string, options: ReconnectOptions): Client;

/** The id of a service: XXH64, seed 0, of "namespace :: Name". */
export function serviceId(namespace: string, name: string): bigint;

// -- what goes over the wire -----------------------------------------------------------------------------------------------

/** From `cbor.mjs`, `msgpack.mjs` or `json.mjs`; the same at both ends. */
export interface WireFormat {
  readonly name: string;
  /** Throws `EncodeError`. */
  encode(value: unknown): Uint8Array<ArrayBuffer>;
  /** Throws `DecodeError`. Integers are numbers where a number is exact, and BigInts beyond 2^53. */
  decode(payload: Uint8Array): any;
}

/** What `duologue typescript` writes for a namespace: its messages by their names, and the type of each one's answer. As such: any there may be. */
export type Messages = { [name: string]: { message: any; answer: any } };

/** Arguments behind the name: a message without fields may be left out. */
type Arguments<Message> = [null] extends [Message] ? [message?: Message, options?: CallOptions] : [message: Message, options?: CallOptions];

/** The services of a namespace at the other end. Cheap to make. */
export interface Remote<M extends Messages = Messages> {
  /**
   * Call, and wait for the answer. Rejects with a `CallError`, whose `executed` says whether the handler may have run, and before anything
   * is sent with `EncodeError` or `FrameTooLarge`.
   */
  call<Name extends keyof M & string>(name: Name, ...more: Arguments<M[Name]["message"]>): Promise<M[Name]["answer"]>;
  /** Send one way. Resolves when the message is on its way out; nothing tells whether it arrives. Waits for room, and rejects as `call` does. */
  send<Name extends keyof M & string>(name: Name, ...more: Arguments<M[Name]["message"]>): Promise<void>;
}

export interface CallOptions {
  /** In milliseconds; `Infinity` for none. If not given `Limits.callTimeout` or `Limits.sendTimeout`. */
  timeout?: number;
  /** Give up when this is aborted: `CallAborted`. The handler at the other end runs on, as the protocol has no word for that. */
  signal?: AbortSignal;
}

/** A namespace whose names or ids differ from what the names of its messages would give. Else its name will do. */
export class Namespace {
  constructor(name: string, options?: { names?: Record<string, string>; ids?: Record<string, bigint> });
  readonly name: string;
  /** The service id of a message. Throws for one that no service can have. */
  sid(message: string): bigint;
}

// -- what is served here ---------------------------------------------------------------------------------------------------

/** Runs for a message. What it returns, or resolves to, is the answer; what it throws stays here, and the caller learns that it failed. */
export type Handler<Message = any, Answer = any> = (message: Message, context: Context) => Answer | Promise<Answer>;

/** The handlers of a namespace, by the names of its messages. */
export type Handlers<M extends Messages = Messages> = {
  [Name in keyof M]?: Handler<M[Name]["message"], M[Name]["answer"] extends null ? M[Name]["answer"] | void : M[Name]["answer"]>;
};

/** What a handler gets beside the message. */
export interface Context {
  readonly peer: Peer;
  /** 0n for a one-way message. */
  readonly callId: bigint;
  /** Aborted when the connection has ended, and nobody waits for the answer. */
  readonly signal: AbortSignal;
  /** To call back. Other handlers may run meanwhile: better than `peer.remote` where ends call each other back and forth. */
  remote<M extends Messages = Messages>(namespace: string | Namespace): Remote<M>;
}

/** The handlers of a page. They may come and go while it is connected. */
export class Services {
  /** Throws for a message that has a handler already. */
  add<M extends Messages = Messages>(namespace: string | Namespace, handlers: Handlers<M>): this;
  remove(namespace: string | Namespace, message: string): this;
}

// -- connections -----------------------------------------------------------------------------------------------------------

export interface ConnectOptions {
  wireformat: WireFormat;
  /** `{chat: {Said(message) {...}}}`, or `Services`. */
  services?: Services | Record<string, Handlers>;
  limits?: Partial<Limits>;
  /** What happens beside the answers. Without it, failures go to the console. */
  onEvent?: (event: PeerEvent) => void;
  /** Give up connecting. */
  signal?: AbortSignal;
  /** Where there is none, as in Node.js 20: that of the package `ws`. */
  WebSocket?: new (url: string) => any;
}

/** One connection. Both ends have the same rights. */
export interface Peer {
  readonly url: string;
  readonly wireformat: WireFormat;
  readonly isOpen: boolean;
  /** Resolves when the connection has ended, whoever ended it. Never rejects. */
  readonly closed: Promise<Ended>;
  remote<M extends Messages = Messages>(namespace: string | Namespace): Remote<M>;
  /** For tools: call a service by its id, with a payload that is encoded already. */
  callRaw(sid: bigint, payload: Uint8Array, options?: CallOptions): Promise<Uint8Array>;
  sendRaw(sid: bigint, payload: Uint8Array, options?: CallOptions): Promise<void>;
  /** Own calls end at once. Handlers that run have `grace` milliseconds, and their answers still go out. */
  close(detail?: string, options?: { grace?: number }): Promise<Ended>;
}

export interface Ended {
  reason: CloseReason;
  detail: string;
  /** Of the WebSocket. */
  code: number;
  /** Whether another connection would end in the same way: the two don't speak the same. */
  isPermanent: boolean;
}

export type CloseReason =
  | "closed locally"
  | "closed by remote"
  | "cut short"
  | "protocol error"
  | "transport failed"
  | "frame timeout"
  | "write stalled";

/** Sizes are in bytes, times in milliseconds. What the other end has under the same name is in docs/guide.md. */
export interface Limits {
  /** The largest frame, header included, both ways. Both ends should have the same. */
  maxFrame: number;
  /** Calls of the remote's whose handlers run at once. */
  calls: number;
  /** Handlers that wait for a call made by `context.remote`, and so don't count among `calls`. */
  lent: number;
  /** Calls of the remote's that wait for a handler's turn. Over it they are refused. */
  parked: number;
  parkedBytes: number;
  /** One-way messages whose handlers run at once, and as many again that wait. Over it they are dropped, and `onEvent` is told. */
  sends: number;
  sendsBytes: number;
  /** Own calls that are not answered. Over it further ones wait. */
  owed: number;
  /** Own calls and sends that wait for room. Over it they are refused: `Overloaded`. */
  waiting: number;
  /** Unsent bytes at which own requests wait, and the remote's are not started. */
  outboxHigh: number;
  /** Unsent bytes at which both go on. */
  outboxLow: number;
  callTimeout: number;
  sendTimeout: number;
  /** From the first byte of a frame to its last. */
  frameTimeout: number;
  /** For connecting. */
  handshakeTimeout: number;
  /** The socket takes nothing while the outbox is full: the connection is cut. */
  requestsStalled: number;
  /** How long the remote has for its half of the goodbye. */
  closeTimeout: number;
  /** How long a call that was given up counts as not answered. */
  givenUp: number;
  /** Answers to calls that never were, in 10 s. Over it the connection is closed. */
  strays: number;
}

export type PeerEvent =
  /** A request of the remote's came to nothing here. */
  | { type: "requestFailed"; kind: FailureKind; service: string; callId: bigint; error?: unknown }
  /** The remote has sent an error that no call waits for. */
  | { type: "errorReported"; kind: string; text: string; callId: bigint };

export type FailureKind =
  | "UnknownService"
  | "Deserialize"
  | "HandlerFailed"
  | "Serialize"
  | "FrameTooLarge"
  | "Overloaded"
  | "Unavailable"
  | "Dropped";

// -- reconnecting ----------------------------------------------------------------------------------------------------------

export interface ReconnectOptions extends Omit<ConnectOptions, "onEvent" | "signal"> {
  /** What happens to the connections, and on them. */
  onEvent?: (event: ClientEvent | PeerEvent) => void;
  /**
   * Called with each new connection before the calls that wait go out: to log in, to subscribe. If it fails the attempt has failed.
   * Its calls go through the peer that it is given: through the client they would wait for themselves.
   */
  onConnect?: (peer: Peer) => void | Promise<void>;
  backoff?: Partial<Backoff>;
  /** Whether further attempts are useless. If it gives nothing, `outcome.isPermanent` decides. */
  givesUp?: (outcome: Outcome) => boolean | undefined;
}

/** Times in milliseconds. Before each attempt the client waits for a random part of a time that grows. */
export interface Backoff {
  /** The longest wait before the first attempt after a connection has ended: 100. */
  first: number;
  /** So many times longer after each attempt: 2. */
  factor: number;
  /** No wait is longer: 30,000. */
  longest: number;
  /** A connection that was up for so long is a success, and the waits begin anew: 10,000. */
  stableAfter: number;
  /** Give up after so many attempts without a success: never. */
  maxAttempts: number;
}

/** What came of an attempt. */
export type Outcome =
  | { type: "attemptFailed"; attempt: number; error: unknown; isPermanent: boolean }
  | ({ type: "disconnected" } & Ended);

export type ClientEvent =
  | { type: "connecting"; attempt: number }
  | { type: "connected"; attempt: number; peer: Peer }
  /** The next attempt is in so many milliseconds; undefined if there is none. */
  | (Outcome & { nextIn: number | undefined })
  | { type: "gaveUp"; error: Error };

/**
 * Calls as a `Peer` does, through the connection of the moment. If there is none they wait for the next one, and the wait counts in their timeout.
 * A call whose connection ends under it ends with `ConnectionLost`, and is never made again by itself.
 */
export interface Client {
  readonly wireformat: WireFormat;
  /** The connection of the moment. */
  readonly peer: Peer | undefined;
  /** Resolves when it is closed, rejects with `ReconnectFailed` when it has given up. */
  readonly closed: Promise<void>;
  /** The next connection, or that of the moment. */
  connected(options?: CallOptions): Promise<Peer>;
  remote<M extends Messages = Messages>(namespace: string | Namespace): Remote<M>;
  callRaw(sid: bigint, payload: Uint8Array, options?: CallOptions): Promise<Uint8Array>;
  sendRaw(sid: bigint, payload: Uint8Array, options?: CallOptions): Promise<void>;
  close(detail?: string, options?: { grace?: number }): Promise<void>;
}

// -- errors ----------------------------------------------------------------------------------------------------------------

/** Whether the handler of a failed call may have run: "yes" says that it began, and "no" that trying again is safe. */
export type Executed = "no" | "yes" | "unknown";

/** The root of all errors here. `kind` says what it is in a word. */
export class DuologueError extends Error {
  readonly kind: string;
}

/** The remote broke the protocol. */
export class ProtocolError extends DuologueError {}

/** A frame is over the limit. If it is ours, nothing was sent. */
export class FrameTooLarge extends ProtocolError {
  readonly executed: Executed;
  readonly size: number | bigint;
  readonly limit: number;
}

/** A value can't be written in the wire format. Nothing was sent; the text names the field. */
export class EncodeError extends DuologueError {
  readonly executed: Executed;
}

/** Received bytes are not valid in the wire format. */
export class DecodeError extends DuologueError {}

export class ConnectFailed extends DuologueError {
  readonly url: string;
  /** Whether another attempt would end in the same way. */
  readonly isPermanent: boolean;
}

/** A call ended without an answer. */
export class CallError extends DuologueError {
  readonly executed: Executed;
  /** "calc::Add"; empty for a call by id. */
  service: string;
}

export class CallTimeout extends CallError {}

/** By `options.signal`, whose reason is the `cause`. Its name is "AbortError". */
export class CallAborted extends CallError {}

/** The remote answered with an error: `kind` is "UnknownService", "Deserialize", "InternalServerError" ... */
export class RemoteError extends CallError {}

/** The handler ran and answered, and the answer can't be read. */
export class AnswerUnreadable extends CallError {}

/** A limit of this page is reached. Nothing was sent. */
export class Overloaded extends CallError {}

/** The connection is closed, so the call was not made, or ended by this end. */
export class ConnectionClosed extends CallError {
  readonly reason: CloseReason;
}

/** The connection ended under a waiting call, and not by us. */
export class ConnectionLost extends CallError {
  readonly reason: CloseReason;
}

/** The client has given up; the `cause` says why. */
export class ReconnectFailed extends CallError {}
