// Everything can be done without a mouse: the keys, the commands, and where they are shown.

import { element, find } from "./elements.mjs";

const ALT = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌥" : "Alt+";

/** @typedef {"above" | "below" | "join" | "leave" | "nick" | "text" | "theme" | "help"} Action */

/** @type {Array<{key: string, sign: string, action: Action, what: string, hint?: string}>} */
const KEYS = [
  { key: "ArrowUp", sign: "↑", action: "above", what: "To the room above", hint: "" },
  { key: "ArrowDown", sign: "↓", action: "below", what: "To the room below", hint: "rooms" },
  { key: "j", sign: "J", action: "join", what: "Join a room", hint: "join" },
  { key: "w", sign: "W", action: "leave", what: "Leave the room" },
  { key: "n", sign: "N", action: "nick", what: "Change your nick", hint: "nick" },
  { key: "m", sign: "M", action: "text", what: "Write a message" },
  { key: "t", sign: "T", action: "theme", what: "Light or dark" },
  { key: "h", sign: "H", action: "help", what: "Keys and commands", hint: "all keys" },
];

const COMMANDS = [
  ["/nick name", "Change your nick"],
  ["/join room", "Into a room, or to it if you are in"],
  ["/leave", "Leave the room"],
  ["/rooms", "In which rooms others are"],
  ["/who", "Who is in this room"],
  ["/help", "This"],
];

/** @param {Record<Action, () => void>} actions */
export function listen(actions) {
  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) {
      return;
    }
    const isTyping = event.target instanceof HTMLInputElement;
    if (event.key === "/" && !isTyping) {
      event.preventDefault();
      actions.text();
    }
    // On some keyboards a letter with Alt is another character: then the key is what counts.
    const pressed = /^[a-z]$|^Arrow/i.test(event.key) ? event.key : event.code.replace("Key", "");
    const found = KEYS.find(({ key }) => key.toLowerCase() === pressed.toLowerCase());
    if (found && event.altKey && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      actions[found.action]();
    }
  });
}

export function showKeys() {
  const hints = KEYS.filter(({ hint }) => hint !== undefined);
  find("#hints").append(...hints.flatMap(({ sign, hint }) => [element("kbd", {}, ALT + sign), ` ${hint} `]));
  const keys = KEYS.map(({ sign, what }) => [ALT + sign, what]);
  find("#help-dialog dl").append(
    ...[...keys, ...COMMANDS].flatMap(([sign, what]) => [element("dt", {}, element("kbd", {}, sign ?? "")), element("dd", {}, what ?? "")]),
  );
}
