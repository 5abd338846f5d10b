// Duologue for a page: typed messages between it and its server, in both directions, over one WebSocket. See docs/browser.md.

export { connect } from "./connect.mjs";
export {
  AnswerUnreadable,
  CallAborted,
  CallError,
  CallTimeout,
  ConnectFailed,
  ConnectionClosed,
  ConnectionLost,
  DecodeError,
  DuologueError,
  EncodeError,
  FrameTooLarge,
  Overloaded,
  ProtocolError,
  ReconnectFailed,
  RemoteError,
} from "./errors.mjs";
export { serviceId } from "./ids.mjs";
export { Namespace, Services } from "./services.mjs";
export { reconnecting } from "./reconnect.mjs";
