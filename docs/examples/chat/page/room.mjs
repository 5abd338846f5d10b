// A room: what was said, who is there, how much is unread.

import { colored, element, face } from "./elements.mjs";
import { time } from "./words.mjs";

/** @import { Line, Member } from "./messages" */

/** So many lines are kept on the page. */
const LINES = 500;
/** Lines of one member within so many seconds stand together. */
const TOGETHER = 300;

export class Room {
  /** @type {Map<string, Member>} */
  members = new Map();
  unread = 0;
  /** What was being written when another room was chosen. */
  draft = "";
  #latest = 0;
  /** @type {Line | undefined} The line above, if nothing is between. */
  #above;
  #isAtEnd = true;

  /**
   * @param {string} name
   * @param {() => void} choose
   */
  constructor(name, choose) {
    this.name = name;
    this.badge = element("span", { className: "unread" });
    this.button = element("button", { type: "button", onclick: choose }, element("span", { className: "name" }, `#${name}`), this.badge);
    this.tab = element("li", {}, this.button);
    // One log for each room: what is hidden is not read out when it comes, nor when it is shown.
    this.log = element("ol", { className: "log", role: "log", hidden: true, tabIndex: 0, ariaLabel: `What is said in #${name}` });
    this.log.addEventListener("scroll", () => {
      this.#isAtEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 40;
      this.log.classList.toggle("behind", !this.#isAtEnd);
    });
    // The keyboard of a phone takes half of the screen.
    new ResizeObserver(() => this.#isAtEnd && this.toEnd()).observe(this.log);
  }

  /** @param {boolean} isCurrent */
  show(isCurrent) {
    this.log.hidden = !isCurrent;
    this.button.ariaCurrent = isCurrent ? "true" : null;
    if (isCurrent) {
      this.toEnd();
    }
  }

  toEnd() {
    this.#isAtEnd = true;
    this.log.scrollTop = this.log.scrollHeight;
  }

  /** @param {number} unread */
  setUnread(unread) {
    this.unread = unread;
    this.badge.replaceChildren(...(unread ? [`${Math.min(unread, 99)}`, element("span", { className: "unseen" }, " unread")] : []));
  }

  /**
   * Somebody has said something. False if it was there already.
   *
   * @param {Line} line
   */
  say(line) {
    if (line.at <= this.#latest) {
      return false;
    }
    const { by, text, at } = line;
    const follows = this.#above?.by.nick === by.nick && at - this.#above.at < TOGETHER;
    const when = element("time", { dateTime: new Date(at * 1000).toISOString() }, time(at));
    const head = element("p", { className: "by" }, element("b", { dir: "auto" }, by.nick), " ", when);
    const item = element("li", { className: "line" }, face(by), head, element("p", { className: "text", dir: "auto" }, text));
    item.classList.toggle("follows", follows);
    this.#add(colored(item, by.color));
    this.#above = line;
    this.#latest = at;
    return true;
  }

  /**
   * Something has happened.
   *
   * @param {string} text
   */
  note(text) {
    this.#add(element("li", { className: "note" }, text));
    this.#above = undefined;
  }

  /** @param {HTMLLIElement} item */
  #add(item) {
    this.log.append(item);
    if (this.log.childElementCount > LINES) {
      this.log.firstElementChild?.remove();
    }
    if (this.#isAtEnd) {
      this.toEnd();
    }
  }
}
