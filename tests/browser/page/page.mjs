// The client, and what tests have it do in the page.

import * as duologue from "/duologue/duologue.mjs";
import { cbor } from "/duologue/cbor.mjs";
import { json } from "/duologue/json.mjs";
import { msgpack } from "/duologue/msgpack.mjs";

const formats = { cbor, json, msgpack };
const notes = [];
const blob = (size) => "x".repeat(size);

/** What a promise is rejected with, in words that a test can compare. */
async function errorOf(promise) {
  try {
    return { answer: await promise };
  } catch ({ name, kind, executed, reason, cause }) {
    return { name, kind, executed, reason, cause: cause && `${cause}` };
  }
}

const services = {
  show: {
    Double: ({ number }) => 2 * number,
    Deep: async ({ times }, context) => (times === 0 ? 0 : 1 + (await context.remote("calc").call("Add", { a: 0, b: -times }))),
    Blob: blob,
    Broken: () => {
      throw new Error("secret");
    },
    Note: ({ number }) => {
      notes.push(number);
    },
    Hold: () => new Promise(() => {}),
  },
};

/** Connect to where the page came from, or elsewhere. */
async function peerOf(format, { url = "/", ...options } = {}) {
  const peer = await duologue.connect(url, { wireformat: formats[format], services, ...options });
  return Object.assign(globalThis, { peer, calc: peer.remote("calc") }).peer;
}

/** Wait for something without a promise. */
async function until(condition) {
  while (!condition()) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What a raw WebSocket sees of its end, after it has sent some bytes, or a text. */
async function sendRaw(data) {
  const socket = new WebSocket(new URL("/", location.href.replace(/^http/, "ws")));
  socket.binaryType = "arraybuffer";
  const received = [];
  await new Promise((resolve) => (socket.onopen = resolve));
  const ended = new Promise((resolve) => (socket.onclose = ({ code, reason }) => resolve({ code, reason })));
  socket.onmessage = (event) => received.push(...new Uint8Array(event.data));
  socket.send(typeof data === "string" ? data : Uint8Array.from(data));
  return { socket, received, ended };
}

/** Call and call, one after the other, until told to stop: how many answers were right, and how many were not. */
function keepCalling() {
  const counts = { right: 0, wrong: 0 };
  let isOver = false;
  const done = (async () => {
    while (!isOver) {
      const answer = await calc.call("Add", { a: counts.right, b: 1 }, { timeout: 10_000 }).catch(() => undefined);
      counts[answer === counts.right + 1 ? "right" : "wrong"]++;
      if (answer === undefined) {
        return;
      }
    }
  })();
  return { counts, stop: () => ((isOver = true), done.then(() => counts)) };
}

Object.assign(globalThis, { duologue, formats, services, notes, blob, errorOf, peerOf, until, sendRaw, keepCalling });

// For the tests of the fixtures: a test's own script is not looked at as strictly as that of a page.

globalThis.rejectSomething = () => {
  Promise.reject(new Error("nobody looked"));
};

globalThis.addScript = () => {
  document.head.append(Object.assign(document.createElement("script"), { text: "1" }));
};
