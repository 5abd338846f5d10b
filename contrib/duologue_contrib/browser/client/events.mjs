// What happens beside the answers is told to whoever looks on.

/** @import * as Declared from "./duologue.mjs" */

/**
 * Tells an observer, who must not break the connection: what `onEvent` throws goes to the console.
 *
 * @template Event
 * @param {(event: Event) => void} onEvent
 * @returns {(event: Event) => void}
 */
export function tellingTo(onEvent) {
  return (event) => {
    try {
      onEvent(event);
    } catch (error) {
      console.error("duologue: onEvent failed", error);
    }
  };
}

/**
 * Where there is no `onEvent`: failures are to be seen all the same.
 *
 * @param {Declared.PeerEvent} event
 */
export function toConsole(event) {
  if (event.type === "requestFailed") {
    console.error(`duologue: ${event.service} failed here: ${event.kind}`, event.error ?? "");
  } else if (event.type === "errorReported") {
    console.error(`duologue: the remote reports ${event.kind} ${event.text}`);
  }
}
