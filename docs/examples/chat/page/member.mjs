// A member of the chat, without anything to be seen: it keeps its nick and its rooms over all connections, and tells a view what happens.
// The same in Python is client.py.

import { cbor } from "/duologue/cbor.mjs";
import { CallTimeout, reconnecting } from "/duologue/duologue.mjs";

/** @import { ClientEvent, Handlers, Peer, PeerEvent, Remote } from "/duologue/duologue.mjs" */
/** @import { ChatMessages, ChatScreenMessages, Joined, Line, Member as Person, NickSet, RoomInfo } from "./messages" */
/** @typedef {Exclude<ChatMessages["SetNick" | "Join" | "Say"]["answer"], NickSet | Joined | "Sent">} Problem */

/**
 * What happens, for those who look.
 *
 * @typedef {object} View
 * @property {(room: string, members: Person[], history: Line[]) => void} joined
 * @property {(room: string, line: Line) => void} said
 * @property {(room: string, member: Person) => void} came
 * @property {(room: string, nick: string) => void} went
 * @property {(room: string, nick: string, now: string) => void} renamed
 * @property {(problem: Problem) => void} nickLost somebody else has it since the connection was lost
 * @property {(room: string, problem: Problem) => void} roomLost
 * @property {(rooms: RoomInfo[]) => void} rooms those where somebody is
 * @property {(event: ClientEvent | PeerEvent) => void} connection
 */

/** How long the server may take for an answer, in milliseconds. Then the connection is taken for dead. */
const TIMEOUT = 8_000;
/** How often it is asked: browsers don't tell a page that nothing comes any more. */
const INTERVAL = 15_000;

export class Member {
  nick = "";
  /** A secret: by that the nick can be taken over from a connection of ours that the server does not know to be dead. */
  #key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16)).join(".");
  /** @type {Map<string, Promise<boolean>>} For each room whether we are in, as soon as that is known. */
  #rooms = new Map();
  /** Whether this connection has our nick. */
  #hasEntered = false;
  #view;
  #client;

  /** @param {View} view */
  constructor(view) {
    this.#view = view;
    this.#client = reconnecting("/", {
      wireformat: cbor,
      services: { "chat.screen": this.#screen() },
      limits: { maxFrame: 256 * 1024, closeTimeout: 500 },
      backoff: { longest: 5_000 },
      onConnect: (peer) => this.#enter(peer),
      onEvent: (event) => view.connection(event),
    });
    setInterval(() => this.look(), INTERVAL);
  }

  get isConnected() {
    return this.#client.peer !== undefined;
  }

  /** @returns {Remote<ChatMessages>} */
  get #chat() {
    return this.#client.remote("chat");
  }

  // -- what it does ------------------------------------------------------------------------------------------------------

  /**
   * @param {string} nick
   * @returns {Promise<Problem | undefined>}
   */
  async setNick(nick, chat = this.#chat) {
    const answer = await chat.call("SetNick", { nick, key: this.#key }, { timeout: TIMEOUT });
    if (typeof answer !== "object" || !("NickSet" in answer)) {
      return answer;
    }
    this.nick = answer.NickSet.nick;
    if (!this.#hasEntered) {
      this.#hasEntered = true;
      await this.#rejoin(chat);
    }
    return undefined;
  }

  /**
   * @param {string} room
   * @returns {Promise<Problem | undefined>}
   */
  join(room) {
    return this.#join(this.#chat, room);
  }

  /** @param {string} room */
  async leave(room) {
    this.#rooms.delete(room);
    await this.#chat.call("Leave", { room }, { timeout: TIMEOUT });
  }

  /**
   * @param {string} room
   * @param {string} text
   * @returns {Promise<Problem | undefined>}
   */
  async say(room, text) {
    const answer = await this.#chat.call("Say", { room, text }, { timeout: TIMEOUT });
    return answer === "Sent" ? undefined : answer;
  }

  /** Ask in which rooms somebody is, and so whether the connection is alive. */
  async look() {
    const peer = this.#client.peer;
    try {
      if (peer !== undefined) {
        const chat = /** @type {Remote<ChatMessages>} */ (peer.remote("chat"));
        this.#view.rooms(await chat.call("Rooms", null, { timeout: TIMEOUT }));
      }
    } catch (error) {
      if (error instanceof CallTimeout) {
        void peer?.close("no answer"); // the client makes another
      }
    }
  }

  /**
   * Done on each new connection, before anything else.
   *
   * @param {Peer} peer
   */
  async #enter(peer) {
    this.#hasEntered = false;
    const problem = this.nick && (await this.setNick(this.nick, peer.remote("chat")));
    if (problem) {
      this.#view.nickLost(problem);
    }
  }

  /** @param {Remote<ChatMessages>} chat */
  async #rejoin(chat) {
    for (const room of this.#rooms.keys()) {
      const problem = await this.#join(chat, room);
      if (problem !== undefined) {
        this.#view.roomLost(room, problem);
      }
    }
  }

  /**
   * @param {Remote<ChatMessages>} chat
   * @param {string} room
   * @returns {Promise<Problem | undefined>}
   */
  async #join(chat, room) {
    /** @type {(isIn: boolean) => void} */
    let tell = () => {};
    this.#rooms.set(room, new Promise((resolve) => (tell = resolve)));
    let isIn = false;
    try {
      const answer = await chat.call("Join", { room }, { timeout: TIMEOUT });
      if (typeof answer !== "object" || !("Joined" in answer)) {
        this.#rooms.delete(room);
        return answer;
      }
      this.#view.joined(room, answer.Joined.members, answer.Joined.history);
      isIn = true;
      return undefined;
    } finally {
      tell(isIn); // without an answer, too: what was told of the room would wait for ever
    }
  }

  // -- what it is told ---------------------------------------------------------------------------------------------------

  /** @returns {Handlers<ChatScreenMessages>} */
  #screen() {
    // What is told of a room may arrive before the answer to `Join` is looked at, and waits for that.
    const isIn = (/** @type {string} */ room) => this.#rooms.get(room) ?? false;
    return {
      Said: async ({ room, line }) => {
        if (await isIn(room)) {
          this.#view.said(room, line);
        }
      },
      Came: async ({ room, member }) => {
        if (await isIn(room)) {
          this.#view.came(room, member);
        }
      },
      Went: async ({ room, nick }) => {
        if (await isIn(room)) {
          this.#view.went(room, nick);
        }
      },
      Renamed: async (message) => {
        if (await isIn(message.room)) {
          this.#view.renamed(message.room, message.nick, message.new);
        }
      },
    };
  }
}
