// Written by `duologue typescript`. Dates, UUIDs and the like are texts. Integers are numbers, and BigInts beyond 2^53.

/** The first thing to do on each connection, and later to change it. */
export interface SetNick {
  nick: string;
  key: string;
}

/** Into a room, which need not be there before. */
export interface Join {
  room: string;
}

/** Out of a room. */
export interface Leave {
  room: string;
}

/** To all in a room. */
export interface Say {
  room: string;
  text: string;
}

/** It is yours. */
export type NickSet = { NickSet: { nick: string } };

/** Somebody else has it, or one that looks the same. */
export type NickTaken = "NickTaken";

/** Nothing was done. Try again in so many seconds. */
export type TooFast = { TooFast: { wait: number } };

/** A nick, a room's name or a text is not as it must be. */
export type Refused = { Refused: { rule: string } };

/** Somebody in a room. */
export interface Member {
  nick: string;
  color: number;
}

/** What somebody has said. */
export interface Line {
  by: Member;
  text: string;
  at: number;
}

/** You are in the room: who else is, and what was said lately. */
export type Joined = { Joined: { members: Member[]; history: Line[] } };

/** Choose one first. */
export type NoNick = "NoNick";

/** You are in as many as may be, or there are. */
export type TooManyRooms = { TooManyRooms: { limit: number } };

/** All who are in the room get it, you too. */
export type Sent = "Sent";

/** Join it first. */
export type NotInRoom = "NotInRoom";

/** A room in which somebody is. */
export interface RoomInfo {
  room: string;
  members: number;
}

/** Somebody has said something. */
export interface Said {
  room: string;
  line: Line;
}

/** Somebody has joined. */
export interface Came {
  room: string;
  member: Member;
}

/** Somebody has left, or the connection is lost. */
export interface Went {
  room: string;
  nick: string;
}

/** Somebody has another nick. */
export interface Renamed {
  room: string;
  nick: string;
  new: string;
}

/** The namespace "chat". */
export type ChatMessages = {
  SetNick: { message: SetNick; answer: NickSet | NickTaken | TooFast | Refused };
  Join: { message: Join; answer: Joined | NoNick | TooManyRooms | TooFast | Refused };
  Leave: { message: Leave; answer: null };
  Say: { message: Say; answer: Sent | NotInRoom | TooFast | Refused };
  Rooms: { message: null; answer: RoomInfo[] };
};

/** The namespace "chat.screen". */
export type ChatScreenMessages = {
  Said: { message: Said; answer: null };
  Came: { message: Came; answer: null };
  Went: { message: Went; answer: null };
  Renamed: { message: Renamed; answer: null };
};
