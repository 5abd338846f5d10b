// What people read.

import { CallError } from "/duologue/duologue.mjs";

/** @import { Problem } from "./member.mjs" */

/**
 * Why something was not done.
 *
 * @param {Problem} problem
 * @returns {string}
 */
export function explained(problem) {
  switch (problem) {
    case "NickTaken":
      return "Somebody else has this nick.";
    case "NoNick":
      return "Choose a nick first.";
    case "NotInRoom":
      return "You are not in this room.";
  }
  if ("Refused" in problem) {
    return `It must be ${problem.Refused.rule}.`;
  }
  if ("TooManyRooms" in problem) {
    return `There is room for ${problem.TooManyRooms.limit} rooms.`;
  }
  return `Too fast: wait for ${Math.ceil(problem.TooFast.wait)} s.`;
}

/**
 * Whether a call that failed certainly did nothing.
 *
 * @param {unknown} error
 */
export function isUndone(error) {
  return error instanceof CallError && error.executed === "no";
}

/** @param {unknown} error */
export function failed(error) {
  return isUndone(error) ? "There is no connection." : "The server has not answered.";
}

/** @param {number} at seconds since 1970 */
export function time(at) {
  return new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/**
 * @param {number} count
 * @param {string} one
 */
export function counted(count, one) {
  return `${count} ${one}${count === 1 ? "" : "s"}`;
}
