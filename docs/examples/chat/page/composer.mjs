// The box where one writes. What is not sent stays there, or comes back; no word is lost in silence.

import { find } from "./elements.mjs";
import { explained, isUndone } from "./words.mjs";

/** @import { Member } from "./member.mjs" */
/** @import { Room } from "./room.mjs" */
/** @import { Rooms } from "./rooms.mjs" */

const box = /** @type {HTMLInputElement} */ (find("#text"));

export class Composer {
  #member;
  #rooms;
  #commands;

  /**
   * @param {Member} member
   * @param {Rooms} rooms
   * @param {Record<string, (rest: string) => unknown>} commands
   */
  constructor(member, rooms, commands) {
    this.#member = member;
    this.#rooms = rooms;
    this.#commands = commands;
    find("#composer").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = box.value.trim();
      if (text) {
        box.value = "";
        this.complain("");
        void this.#send(text);
      }
    });
  }

  /** @param {string} text */
  complain(text) {
    find("#problem").textContent = text;
  }

  focus() {
    box.focus();
  }

  /**
   * Another room is to be seen. Each keeps what was being written in it.
   *
   * @param {Room | undefined} before
   * @param {Room | undefined} after
   */
  change(before, after) {
    if (before) {
      before.draft = box.value;
    }
    box.value = after?.draft ?? "";
    box.placeholder = after ? `Message to #${after.name}` : "";
    this.complain("");
    if (!matchMedia("(pointer: coarse)").matches) {
      box.focus(); // on a phone this would open its keyboard
    }
  }

  /** @param {string} text */
  async #send(text) {
    const [, command, rest = ""] = /^(\/[^/\s]+)\s*(.*)$/.exec(text) ?? [];
    const room = this.#rooms.current;
    if (command) {
      const run = this.#commands[command] ?? (() => this.#giveBack(room, text, `There is no command ${command}: see /help.`));
      await run(rest);
      return;
    }
    if (!room || !this.#member.isConnected) {
      this.#giveBack(room, text, room ? "Not sent: there is no connection." : "Not sent: join a room first.");
      return;
    }
    room.toEnd();
    try {
      const problem = await this.#member.say(room.name, text.replace(/^\/\//, "/"));
      if (problem) {
        this.#giveBack(room, text, `Not sent. ${explained(problem)}`);
      }
    } catch (error) {
      if (isUndone(error)) {
        this.#giveBack(room, text, "Not sent: the connection is lost.");
      } else {
        room.note(`Perhaps not sent, as the connection was lost: ${text}`);
      }
    }
  }

  /**
   * It goes back to where it was written, or if that is in use already, is shown.
   *
   * @param {Room | undefined} room
   * @param {string} text
   * @param {string} why
   */
  #giveBack(room, text, why) {
    if (room === this.#rooms.current && box.value === "") {
      box.value = text;
      this.complain(why);
    } else if (room !== this.#rooms.current && room?.draft === "") {
      room.draft = text;
    } else {
      room?.note(`${why} ${text}`);
    }
  }
}
