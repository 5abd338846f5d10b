// The rooms that we are in, one of which is to be seen.

import { find } from "./elements.mjs";
import { Room } from "./room.mjs";

export class Rooms {
  /** @type {Map<string, Room>} */
  #rooms = new Map();
  /** @type {Room | undefined} */
  current;
  #onChoose;

  /** @param {(before: Room | undefined, after: Room | undefined) => void} onChoose */
  constructor(onChoose) {
    this.#onChoose = onChoose;
  }

  get names() {
    return [...this.#rooms.keys()];
  }

  get unread() {
    return [...this.#rooms.values()].reduce((sum, room) => sum + room.unread, 0);
  }

  /** @param {string} name */
  get(name) {
    return this.#rooms.get(name);
  }

  /** @param {string} name */
  add(name) {
    const room = new Room(name, () => this.choose(room));
    this.#rooms.set(name, room);
    find("#rooms").append(room.tab);
    find("#logs").append(room.log);
    if (!this.current) {
      this.choose(room);
    }
    return room;
  }

  /** @param {string} name */
  drop(name) {
    const room = this.#rooms.get(name);
    const { names } = this;
    this.#rooms.delete(name);
    room?.tab.remove();
    room?.log.remove();
    if (room === this.current) {
      this.choose(this.#rooms.get(names[names.indexOf(name) - 1] ?? names[1] ?? ""));
    }
  }

  /** @param {Room | undefined} room */
  choose(room) {
    const before = this.current;
    this.current = room;
    before?.show(false);
    room?.show(true);
    room?.setUnread(0);
    room?.button.scrollIntoView({ block: "nearest", inline: "nearest" });
    history.replaceState(null, "", room ? `#${encodeURIComponent(room.name)}` : location.pathname);
    this.#onChoose(before, room);
  }

  /** @param {number} step */
  move(step) {
    const all = [...this.#rooms.values()];
    if (this.current) {
      this.choose(all[(all.indexOf(this.current) + step + all.length) % all.length]);
    }
  }

  /** @param {string} text */
  note(text) {
    this.#rooms.forEach((room) => room.note(text));
  }
}
