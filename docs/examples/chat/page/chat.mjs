// The page: what happens in the chat is shown, and what people do goes to the chat.

import { Composer } from "./composer.mjs";
import { question } from "./dialogs.mjs";
import { element, face, find } from "./elements.mjs";
import { listen, showKeys } from "./keys.mjs";
import { Member } from "./member.mjs";
import { Rooms } from "./rooms.mjs";
import { toggleTheme } from "./theme.mjs";
import { counted, explained } from "./words.mjs";

/** @import { View } from "./member.mjs" */

/** So long the page says that the connection is there again, in milliseconds. */
const NEWS = 5_000;

// -- what is shown -----------------------------------------------------------------------------------------------------------

/** @type {View} */
const view = {
  joined(name, members, history) {
    const known = rooms.get(name);
    const room = known ?? rooms.add(name);
    room.members = new Map(members.map((each) => [each.nick, each]));
    for (const line of history) {
      room.say(line);
    }
    if (known) {
      room.note("You are back.");
    }
    refresh();
  },
  said(name, line) {
    const room = rooms.get(name);
    if (room?.say(line) && (room !== rooms.current || document.hidden)) {
      room.setUnread(room.unread + 1);
      refresh();
    }
  },
  came(name, who) {
    const room = rooms.get(name);
    room?.members.set(who.nick, who);
    room?.note(`${who.nick} has come`);
    refresh();
  },
  went(name, nick) {
    const room = rooms.get(name);
    room?.members.delete(nick);
    room?.note(`${nick} has gone`);
    refresh();
  },
  renamed(name, nick, now) {
    const room = rooms.get(name);
    const who = room?.members.get(nick);
    if (room && who) {
      room.members.delete(nick);
      room.members.set(now, { ...who, nick: now });
      room.note(`${nick} is ${now} now`);
      refresh();
    }
  },
  nickLost(problem) {
    nick.ask(member.nick, explained(problem));
  },
  roomLost(name, problem) {
    rooms.drop(name);
    composer.complain(`#${name}: ${explained(problem)}`);
  },
  rooms(all) {
    const others = all.filter(({ room }) => !rooms.get(room));
    const buttons = others.map(({ room, members }) => {
      const count = element("small", {}, counted(members, "member"));
      return element("button", { type: "button", onclick: () => join.submit(room) }, `#${room} `, count);
    });
    find("#others").replaceChildren(...buttons.map((button) => element("li", {}, button)));
  },
  connection({ type }) {
    const wasLost = document.body.dataset.connection === "lost";
    if (type === "connected") {
      document.body.dataset.connection = "up";
      find("#connection").textContent = wasLost ? "Connected again." : "";
      setTimeout(() => document.body.dataset.connection === "up" && find("#connection").replaceChildren(), NEWS);
    } else if (type === "disconnected") {
      document.body.dataset.connection = "lost";
      find("#connection").textContent = "The connection is lost, trying again. What you write is kept.";
      rooms.note("The connection is lost.");
    } else if (type === "gaveUp") {
      find("#connection").textContent = "The connection is lost for good. Load the page anew.";
    }
  },
};

/** Whatever depends on more than one thing. */
function refresh() {
  const { current, unread } = rooms;
  const name = current ? `#${current.name}` : "";
  const members = [...(current?.members.values() ?? [])].sort((one, other) => one.nick.localeCompare(other.nick));
  const me = members.find((each) => each.nick === member.nick) ?? { nick: member.nick, color: 0 };
  document.title = `${unread ? `(${unread}) ` : ""}${name} Chat`.trim();
  find("#you").replaceChildren(...(me.nick ? [face(me), element("span", {}, me.nick)] : []));
  find("#title h2").textContent = name || "Join a room";
  find("#leave").hidden = find("#count").hidden = !current;
  find("#count").textContent = counted(members.length, "member");
  find("#members ul").replaceChildren(
    ...members.map((each) => element("li", {}, face(each), element("span", { dir: "auto" }, each.nick), each === me ? element("small", {}, "you") : "")),
  );
  sessionStorage.setItem("chat", JSON.stringify({ nick: member.nick, rooms: rooms.names }));
}

// -- what people do ----------------------------------------------------------------------------------------------------------

const nick = question("nick", async (text) => {
  const problem = await member.setNick(text);
  if (!problem) {
    localStorage.setItem("chat.nick", member.nick);
    refresh();
  }
  return problem && explained(problem);
});

const join = question("join", async (text) => {
  const name = text.replace(/^#/, "").normalize("NFKC").toLowerCase();
  const problem = rooms.get(name) ? undefined : await member.join(name);
  if (!problem) {
    rooms.choose(rooms.get(name));
  }
  return problem && explained(problem);
});

const actions = {
  above: () => rooms.move(-1),
  below: () => rooms.move(1),
  join() {
    void member.look();
    join.ask("");
  },
  leave() {
    const name = rooms.current?.name;
    if (name !== undefined) {
      rooms.drop(name);
      member.leave(name).catch(() => {}); // without a connection we are out already
    }
  },
  nick: () => nick.ask(member.nick),
  text: () => composer.focus(),
  theme: toggleTheme,
  help: () => /** @type {HTMLDialogElement} */ (find("#help-dialog")).showModal(),
};

const member = new Member(view);
const rooms = new Rooms((before, after) => {
  composer.change(before, after);
  refresh();
});
const composer = new Composer(member, rooms, {
  "/nick": (name) => (name ? nick.submit(name) : actions.nick()),
  "/join": (name) => (name ? join.submit(name) : actions.join()),
  "/leave": actions.leave,
  "/rooms": actions.join,
  "/who": () => rooms.current?.note(`Here: ${[...rooms.current.members.keys()].join(", ")}`),
  "/help": actions.help,
});

find("#you").onclick = actions.nick;
find("#join").onclick = actions.join;
find("#leave").onclick = actions.leave;
find("#theme").onclick = actions.theme;
find("#help").onclick = actions.help;
find("#newest").onclick = () => rooms.current?.toEnd();
listen(actions);
showKeys();

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    rooms.current?.setUnread(0);
    refresh();
    void member.look();
  }
});

// -- the beginning -----------------------------------------------------------------------------------------------------------

/** @type {{nick?: string, rooms?: string[]}} What this window had before it was loaded anew. */
const before = JSON.parse(sessionStorage.getItem("chat") ?? "{}");
const asked = roomIn(location.hash) || "lobby";

/** @param {string} hash of an address, which anybody may have written */
function roomIn(hash) {
  try {
    return decodeURIComponent(hash.slice(1));
  } catch {
    return ""; // it names no room
  }
}

let hasBegun = false;

async function begin() {
  if (nick.dialog.open || hasBegun) {
    return;
  }
  if (!member.nick) {
    nick.ask(""); // without one there is nothing to do here
    return;
  }
  hasBegun = true;
  for (const name of new Set([...(before.rooms ?? []), asked])) {
    await join.submit(name);
  }
  rooms.choose(rooms.get(asked) ?? rooms.current);
}

nick.dialog.addEventListener("close", begin);
if (before.nick) {
  void nick.submit(before.nick).then(begin);
} else {
  nick.ask(localStorage.getItem("chat.nick") ?? "");
}
