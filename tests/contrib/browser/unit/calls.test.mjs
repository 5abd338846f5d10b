// Own calls: which outcome each has, what `executed` says, and how many there may be.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Calls } from "../../../../contrib/duologue_contrib/browser/client/calls.mjs";
import { ERROR, RESPONSE, encodeFrame } from "../../../../contrib/duologue_contrib/browser/client/frames.mjs";
import { json } from "../../../../contrib/duologue_contrib/browser/client/json.mjs";
import { LIMITS } from "../../../../contrib/duologue_contrib/browser/client/limits.mjs";
import { connected, errorOf, soon, until } from "./common.mjs";

const answer = (cid, value) => encodeFrame(RESPONSE, cid, json.encode(value));
const failure = (cid, body) => encodeFrame(ERROR, cid, json.encode(body));
const ids = { sid: { inner: { id: 1 } }, cid: null };

/** What an error says. */
const told = (error) => [error.name, error.kind, error.executed];

test("answers find their calls, in any order, and ids rise from 1", async () => {
  const { peer, socket } = await connected();
  const calc = peer.remote("calc");
  const calls = [1, 2, 3].map((a) => calc.call("Add", { a }));
  await soon();
  assert.deepEqual(socket.frames().map((frame) => frame.cid), [1n, 2n, 3n]);
  socket.receive(answer(3n, "c"), answer(1n, "a"), answer(2n, "b"));
  assert.deepEqual(await Promise.all(calls), ["a", "b", "c"]);
});

for (const [what, end, ...expected] of [
  ["UnknownService", (cid) => failure(cid, { UnknownService: ids }), "RemoteError", "UnknownService", "no"],
  ["Deserialize", (cid) => failure(cid, { Deserialize: ids }), "RemoteError", "Deserialize", "no"],
  ["PubSubNoCall", (cid) => failure(cid, { PubSubNoCall: ids }), "RemoteError", "PubSubNoCall", "no"],
  ["InternalServerError", (cid) => failure(cid, { InternalServerError: ids }), "RemoteError", "InternalServerError", "unknown"],
  ["Timeout", (cid) => failure(cid, { Timeout: { sid: null } }), "CallTimeout", "Timeout", "unknown"],
  ["DeserializeWireFormat", (cid) => failure(cid, { DeserializeWireFormat: { context: "x" } }), "RemoteError", "DeserializeWireFormat", "unknown"],
  ["an unknown kind", (cid) => failure(cid, { Other: {} }), "RemoteError", "Unreadable", "unknown"],
  ["a kind that objects have by themselves", (cid) => failure(cid, { constructor: {} }), "RemoteError", "Unreadable", "unknown"],
  ["two kinds", (cid) => failure(cid, { Deserialize: ids, UnknownService: ids }), "RemoteError", "Unreadable", "unknown"],
  ["no kind", (cid) => failure(cid, {}), "RemoteError", "Unreadable", "unknown"],
  ["null", (cid) => failure(cid, null), "RemoteError", "Unreadable", "unknown"],
  ["garbage", (cid) => encodeFrame(ERROR, cid, Uint8Array.of(255)), "RemoteError", "Unreadable", "unknown"],
  ["an answer that can't be read", (cid) => encodeFrame(RESPONSE, cid, Uint8Array.of(255)), "AnswerUnreadable", "AnswerUnreadable", "yes"],
]) {
  test(`executed: ${what}`, async () => {
    const { peer, socket } = await connected();
    const outcome = errorOf(peer.remote("calc").call("Add"));
    await soon();
    socket.receive(end(1n));
    const error = await outcome;
    assert.deepEqual(told(error), expected);
    assert.equal(error.service, "calc::Add");
    assert.match(error.message, /^calc::Add: .*executed: /);
    assert.ok(peer.isOpen);
  });
}

test("executed: nothing has left yet", async () => {
  const { peer, socket } = await connected();
  const controller = new AbortController();
  const aborted = errorOf(peer.remote("calc").call("Add", {}, { signal: controller.signal }));
  controller.abort(new Error("enough"));
  const error = await aborted;
  assert.deepEqual(told(error), ["AbortError", "Aborted", "no"]);
  assert.equal(error.cause.message, "enough");
  const closed = errorOf(peer.remote("calc").call("Add"));
  void peer.close();
  assert.deepEqual(told(await closed), ["ConnectionClosed", "ConnectionClosed", "no"]);
  await soon();
  assert.deepEqual(socket.frames(), []);
});

test("executed: it has left", async () => {
  const { peer, socket } = await connected();
  const controller = new AbortController();
  const calc = peer.remote("calc");
  const outcomes = [calc.call("Add", {}, { signal: controller.signal }), calc.call("Add", {}, { timeout: 1 }), calc.call("Add")].map(errorOf);
  await soon();
  assert.equal(socket.frames().length, 3);
  controller.abort();
  assert.deepEqual(told(await outcomes[0]), ["AbortError", "Aborted", "unknown"]);
  assert.deepEqual(told(await outcomes[1]), ["CallTimeout", "Timeout", "unknown"]);
  socket.receive(answer(1n, 1), answer(2n, 1)); // late: dropped
  socket.end(1006);
  const error = await outcomes[2];
  assert.deepEqual([...told(error), error.reason], ["ConnectionLost", "ConnectionLost", "unknown", "cut short"]);
  assert.deepEqual(told(await errorOf(calc.call("Add"))), ["ConnectionClosed", "ConnectionClosed", "no"]);
});

test("executed: refused at this end", async () => {
  const { peer, socket } = await connected({ limits: { maxFrame: 1000 } });
  const calc = peer.remote("calc");
  assert.deepEqual(told(await errorOf(calc.call("Add", "x".repeat(1000)))), ["FrameTooLarge", "FrameTooLarge", "no"]);
  assert.deepEqual(told(await errorOf(calc.call("Add", () => 1))), ["EncodeError", "Encode", "no"]);
  assert.deepEqual(told(await errorOf(calc.call("Add", 1, { timeout: 0 }))), ["CallTimeout", "Timeout", "no"]);
  assert.deepEqual(told(await errorOf(calc.call("Add", 1, { signal: AbortSignal.abort() }))), ["AbortError", "Aborted", "no"]);
  for (const timeout of [NaN, -1, "5"]) {
    assert.equal((await errorOf(calc.call("Add", 1, { timeout }))).name, "RangeError");
  }
  await soon();
  assert.deepEqual(socket.frames(), []);
  const largest = calc.send("Add", "x".repeat(1000 - 24 - 2));
  await largest;
  assert.equal(socket.frames().length, 1);
});

test("a first outcome stands", async () => {
  const { peer, socket } = await connected();
  const [first, second] = [peer.remote("calc").call("Add"), errorOf(peer.remote("calc").call("Add"))];
  await soon();
  socket.receive(answer(1n, 1), failure(1n, { UnknownService: ids }), answer(1n, 2));
  socket.receive(failure(2n, { UnknownService: ids }), answer(2n, 2));
  assert.equal(await first, 1);
  assert.equal((await second).kind, "UnknownService");
});

test("after the largest id they begin anew, and leave out 0 and those that are open", async () => {
  const written = [];
  const outbox = { isFull: false, write: (ticket) => written.push(ticket.cid) };
  const calls = new Calls(outbox, LIMITS, 2n ** 64n - 3n);
  const open = [1, 2, 3].map(() => calls.call(7n, new Uint8Array(0)));
  assert.deepEqual(written, [2n ** 64n - 2n, 2n ** 64n - 1n, 1n]);
  calls.settle(1n, Uint8Array.of(5));
  assert.deepEqual(await open[2], Uint8Array.of(5));
  for (let count = 0; count < 200; count++) {
    calls.settle(1n, Uint8Array.of(5)); // late
    calls.settle(2n ** 64n - 10n, Uint8Array.of(5)); // late, from before
  }
  assert.throws(() => {
    for (let count = 0; count < 200; count++) {
      calls.settle(2n, Uint8Array.of(5)); // never was
    }
  }, { name: "ProtocolError" });
  const again = new Calls(outbox, LIMITS);
  const first = again.call(7n, new Uint8Array(0));
  const around = new Calls(outbox, LIMITS, 2n ** 64n - 1n);
  around.call(7n, new Uint8Array(0)).catch(() => {});
  assert.equal(written.at(-1), 1n);
  for (const each of [calls, again, around]) {
    each.end(() => new Error("over"), () => new Error("over"));
  }
  await Promise.allSettled([...open, first]);
});

test("executed: the socket was gone before the frame was handed over", async () => {
  const { peer, socket } = await connected();
  const call = errorOf(peer.remote("calc").call("Add"));
  socket.readyState = 3;
  await soon();
  assert.deepEqual(socket.frames(), []);
  socket.end(1006);
  assert.deepEqual(told(await call), ["ConnectionLost", "ConnectionLost", "no"]);
});

test("answers to calls that never were are counted, and too many close the connection", async () => {
  const { peer, socket } = await connected();
  for (let cid = 1n; cid <= 100n; cid++) {
    socket.receive(answer(cid, 1));
  }
  assert.ok(peer.isOpen);
  socket.receive(answer(0n, 1));
  assert.ok(!peer.isOpen);
  assert.equal(socket.closed.code, 4002);
});

test("late answers are not counted", async () => {
  const { peer, socket } = await connected();
  const call = peer.remote("calc").call("Add");
  await soon();
  for (let count = 0; count < 200; count++) {
    socket.receive(answer(1n, 1));
  }
  await call;
  assert.ok(peer.isOpen);
});

test("over the limit of calls that are not answered, further ones wait for room", async () => {
  const { peer, socket } = await connected({ limits: { owed: 2, waiting: 2 } });
  const calc = peer.remote("calc");
  const calls = [1, 2, 3, 4].map((a) => calc.call("Add", { a }));
  assert.deepEqual(told(await errorOf(calc.call("Add"))), ["Overloaded", "Overloaded", "no"]);
  await soon();
  assert.equal(socket.frames().length, 2);
  await calc.send("Log"); // is not a call, and does not wait for one
  assert.deepEqual(socket.frames().map((frame) => frame.cid), [0n]);
  socket.receive(answer(2n, 2));
  await soon();
  assert.deepEqual(socket.frames().map((frame) => frame.cid), [3n]);
  socket.receive(answer(1n, 1), answer(3n, 3));
  await soon();
  socket.receive(answer(4n, 4));
  assert.deepEqual(await Promise.all(calls), [1, 2, 3, 4]);
});

test("what waits for room ends by its timeout, its signal and the end of the connection, and was never sent", async () => {
  const { peer, socket } = await connected({ limits: { owed: 1 } });
  const calc = peer.remote("calc");
  const controller = new AbortController();
  const outcomes = [
    calc.call("Add"),
    calc.call("Add", 1, { timeout: 1 }),
    calc.call("Add", 1, { signal: controller.signal }),
    calc.call("Add"),
  ].map(errorOf);
  await soon();
  controller.abort();
  assert.deepEqual(told(await outcomes[1]), ["CallTimeout", "Timeout", "no"]);
  assert.deepEqual(told(await outcomes[2]), ["AbortError", "Aborted", "no"]);
  socket.end(1001);
  assert.deepEqual(told(await outcomes[3]), ["ConnectionLost", "ConnectionLost", "no"]);
  assert.equal(socket.frames().length, 1);
});

test("a call that was given up counts as owed until it is answered, or for its time", async () => {
  const { peer, socket } = await connected({ limits: { owed: 1, givenUp: 30 } });
  const calc = peer.remote("calc");
  const controller = new AbortController();
  const given = errorOf(calc.call("Add", 1, { signal: controller.signal }));
  await soon();
  controller.abort();
  await given;
  const next = calc.call("Add", 2);
  await soon();
  assert.equal(socket.frames().length, 1);
  socket.receive(answer(1n, 1)); // late, and the remote is done with it
  await soon();
  assert.equal(socket.frames().length, 1);
  socket.receive(answer(2n, 2));
  assert.equal(await next, 2);
  await errorOf(calc.call("Add", 3, { timeout: 1 }));
  const last = calc.call("Add", 4); // waits for 30 ms, and no answer
  last.catch(() => {});
  await until(() => socket.frames().some((frame) => frame.cid === 4n));
  socket.receive(answer(4n, 4));
  assert.equal(await last, 4);
});

test("a call that is given up before it has left is not owed", async () => {
  const { peer, socket } = await connected({ limits: { owed: 1 } });
  const calc = peer.remote("calc");
  const controller = new AbortController();
  const given = errorOf(calc.call("Add", 1, { signal: controller.signal }));
  controller.abort();
  await given;
  const next = calc.call("Add", 2);
  await soon();
  assert.deepEqual(socket.frames().map((frame) => frame.cid), [2n]);
  socket.receive(answer(2n, 2));
  assert.equal(await next, 2);
});

test("a signal that outlives its calls keeps nothing of them", async () => {
  const { peer, socket } = await connected();
  const { signal } = new AbortController();
  const listeners = new Set();
  signal.addEventListener = (type, listener) => listeners.add(listener);
  signal.removeEventListener = (type, listener) => listeners.delete(listener);
  const call = peer.remote("calc").call("Add", 1, { signal });
  const late = errorOf(peer.remote("calc").call("Add", 1, { signal, timeout: 1 }));
  const send = peer.remote("calc").send("Log", 1, { signal });
  await soon();
  socket.receive(answer(1n, 1));
  await Promise.all([call, late, send]);
  assert.equal(listeners.size, 0);
});

test("a socket that takes nothing makes calls and sends wait, and then go on in order", async () => {
  const { peer, socket } = await connected({ limits: { outboxHigh: 1000, outboxLow: 100 } });
  const calc = peer.remote("calc");
  await calc.send("Log", "x".repeat(2000)); // over the mark by itself
  socket.bufferedAmount = 2000;
  let isSent = false;
  const send = calc.send("Log", "second").then(() => (isSent = true));
  const call = calc.call("Add");
  assert.deepEqual(told(await errorOf(calc.send("Log", "third", { timeout: 5 }))), ["CallTimeout", "Timeout", "no"]);
  assert.equal(isSent, false);
  socket.bufferedAmount = 101;
  await soon();
  assert.equal(isSent, false);
  socket.bufferedAmount = 100;
  await send;
  await soon();
  assert.equal(socket.frames().length, 3);
  socket.receive(answer(1n, 3));
  assert.equal(await call, 3);
});

test("a socket that takes nothing for too long is given up", async () => {
  const { peer, socket } = await connected({ limits: { outboxHigh: 1000, outboxLow: 100, requestsStalled: 20 } });
  const outcome = errorOf(peer.remote("calc").call("Add", "x".repeat(2000)));
  socket.bufferedAmount = 2000;
  const error = await outcome;
  assert.deepEqual([...told(error), error.reason], ["ConnectionLost", "ConnectionLost", "unknown", "write stalled"]);
  assert.equal(socket.closed.code, 4008);
});

test("what a task writes leaves in one message, and none is over 64 KiB but for a single frame", async () => {
  const { peer, socket } = await connected();
  for (let count = 0; count < 2000; count++) {
    void peer.sendRaw(7n, new Uint8Array(76));
  }
  void peer.sendRaw(7n, new Uint8Array(100_000));
  await soon();
  const sizes = socket.messages.map((message) => message.length);
  assert.equal(sizes.reduce((sum, size) => sum + size), 2000 * 100 + 100_024);
  assert.deepEqual(sizes, [65_500, 65_500, 65_500, 3500, 100_024]);
});

test("ten thousand calls leave nothing behind", async () => {
  const timers = () => process.getActiveResourcesInfo().filter((each) => each === "Timeout").length;
  const before = timers();
  const { peer, socket } = await connected();
  const calc = peer.remote("calc");
  for (let round = 0n; round < 100n; round++) {
    const calls = Array.from({ length: 100 }, () => calc.call("Add"));
    await soon();
    socket.frames();
    for (let index = 1n; index <= 100n; index++) {
      socket.receive(answer(round * 100n + index, 1));
    }
    await Promise.all(calls);
  }
  assert.ok(timers() <= before);
  assert.ok(peer.isOpen);
});
