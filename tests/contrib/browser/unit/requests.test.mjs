// What the remote asks of a page: handlers, how many of them run, and what goes back.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Namespace, Services, serviceId } from "../../../../contrib/duologue_contrib/browser/client/duologue.mjs";
import { ERROR, RESPONSE, encodeFrame } from "../../../../contrib/duologue_contrib/browser/client/frames.mjs";
import { json } from "../../../../contrib/duologue_contrib/browser/client/json.mjs";
import { connected, soon, until } from "./common.mjs";

const SID = serviceId("page", "Show");
const request = (cid, value, sid = SID) => encodeFrame(sid, cid, json.encode(value));
const served = (handler, options = {}) => connected({ services: { page: { Show: handler } }, ...options });

/** Frames as [cid, answer], or [cid, kind of the error]. */
function answers(socket) {
  return socket.frames().map(({ sid, cid, payload }) => {
    const value = json.decode(payload);
    return [Number(cid), sid === RESPONSE ? value : sid === ERROR ? Object.keys(value)[0] : "a request"];
  });
}

/** Handlers that wait until they are told to go on. */
function held() {
  const running = [];
  const handler = (message) => new Promise((resolve) => running.push({ message, resolve }));
  return { running, handler };
}

test("handlers answer, at once or later, and nothing is null", async () => {
  const { socket } = await connected({
    services: { page: { Show: async (message) => message.a + 1, Now: () => undefined, Value: (message) => message } },
  });
  socket.receive(request(1n, { a: 1 }), request(2n, null, serviceId("page", "Now")), request(3n, [1n], serviceId("page", "Value")));
  await soon();
  assert.deepEqual(answers(socket).sort(), [[1, 2], [2, null], [3, [1]]]);
});

test("a one-way message has no answer, whatever becomes of it", async () => {
  const seen = [];
  const { socket, events } = await served((message, context) => {
    seen.push([message, context.callId]);
    throw new Error("oh");
  });
  socket.receive(request(0n, 1), request(0n, 1, 99n), encodeFrame(SID, 0n, Uint8Array.of(255)));
  await soon();
  assert.deepEqual(seen, [[1, 0n]]);
  assert.deepEqual(answers(socket), []);
  assert.deepEqual(events.map((event) => event.kind).sort(), ["Deserialize", "HandlerFailed", "UnknownService"]);
});

for (const [what, handler, kind, onTheWire, limits] of [
  ["a handler that throws", () => { throw new Error("secret"); }, "HandlerFailed", "InternalServerError"],
  ["a handler that rejects", () => Promise.reject(new Error("secret")), "HandlerFailed", "InternalServerError"],
  ["an answer that can't be written", () => () => 1, "Serialize", "InternalServerError"],
  ["an answer over the limit", () => "x".repeat(1000), "FrameTooLarge", "InternalServerError", { maxFrame: 1000 }],
]) {
  test(`the remote learns no more than the kind: ${what}`, async () => {
    const { peer, socket, events } = await served(handler, { limits });
    socket.receive(request(1n, 1));
    await soon();
    assert.ok(!new TextDecoder().decode(socket.messages[0]).includes("secret"));
    assert.deepEqual(answers(socket), [[1, onTheWire]]);
    assert.deepEqual(events.map(({ type, kind, service, callId }) => [type, kind, service, callId]), [["requestFailed", kind, "page::Show", 1n]]);
    assert.ok(events[0].error instanceof Error);
    assert.ok(peer.isOpen);
  });
}

test("an unknown service, and a message that can't be read", async () => {
  const { socket } = await served(() => 1);
  socket.receive(request(1n, 1, 99n), encodeFrame(SID, 2n, Uint8Array.of(255)));
  await soon();
  assert.deepEqual(answers(socket), [[1, "UnknownService"], [2, "Deserialize"]]);
});

test("onEvent may fail, and nothing else does", async () => {
  const { peer, socket } = await connected({
    onEvent: () => {
      throw new Error("oh");
    },
  });
  const error = console.error;
  console.error = () => {};
  try {
    socket.receive(request(1n, 1));
    await soon();
  } finally {
    console.error = error;
  }
  assert.deepEqual(answers(socket), [[1, "UnknownService"]]);
  assert.ok(peer.isOpen);
});

test("over the limit calls wait for their turn, in order, and then are refused", async () => {
  const { running, handler } = held();
  const { socket, events } = await served(handler, { limits: { calls: 2, parked: 2 } });
  socket.receive(...[1n, 2n, 3n, 4n, 5n].map((cid) => request(cid, Number(cid))));
  await soon();
  assert.deepEqual(running.map((each) => each.message), [1, 2]);
  assert.deepEqual(answers(socket), [[5, "InternalServerError"]]);
  assert.deepEqual(events.map((event) => event.kind), ["Overloaded"]);
  running[1].resolve("b");
  await soon();
  assert.deepEqual(running.map((each) => each.message), [1, 2, 3]);
  for (const each of running) {
    each.resolve("x");
  }
  await soon();
  running.at(-1).resolve("x");
  await soon();
  assert.deepEqual(answers(socket).map(([cid]) => cid), [2, 1, 3, 4]);
});

test("what waits is bounded in bytes, too", async () => {
  const { handler } = held();
  const { socket } = await served(handler, { limits: { calls: 1, parkedBytes: 100 } });
  socket.receive(request(1n, ""), request(2n, "x".repeat(60)), request(3n, "x".repeat(60)), request(4n, "x"));
  await soon();
  assert.deepEqual(answers(socket), [[4, "InternalServerError"]]);
});

test("what can begin at once is not refused for its size, and not for want of room to wait", async () => {
  const seen = [];
  const { socket } = await served((text) => seen.push(text.length), { limits: { parked: 0, parkedBytes: 10, sends: 1, sendsBytes: 10 } });
  socket.receive(request(1n, "x".repeat(100)), request(0n, "x".repeat(100)), request(2n, "x"));
  await soon();
  assert.deepEqual(seen, [100, 100, 1]);
});

test("one-way messages have room of their own; over it they are dropped, and told", async () => {
  const { running, handler } = held();
  const { socket, events } = await served(handler, { limits: { calls: 1, sends: 2 } });
  socket.receive(request(1n, "call"), ...[1, 2, 3, 4, 5].map((value) => request(0n, value)));
  await soon();
  assert.deepEqual(running.map((each) => each.message), ["call", 1, 2]);
  assert.deepEqual(events.map((event) => event.kind), ["Dropped"]);
});

test("while the socket takes nothing no handler begins", async () => {
  const { running, handler } = held();
  const { peer, socket } = await served(handler, { limits: { outboxHigh: 1000, outboxLow: 100 } });
  await peer.sendRaw(7n, new Uint8Array(2000));
  socket.bufferedAmount = 2000;
  socket.receive(request(1n, 1), request(0n, 2), request(2n, 3, 99n));
  await soon();
  assert.equal(running.length, 0);
  socket.frames();
  socket.bufferedAmount = 0;
  await until(() => running.length === 2);
  assert.deepEqual(answers(socket), [[2, "UnknownService"]]);
});

for (const [what, wrap] of [["at once", (answer) => answer], ["later", async (answer) => answer]]) {
  test(`own calls and answers that are each more than there is room for have their turns: ${what}`, async () => {
    const { peer, socket } = await served(() => wrap("x".repeat(2000)), { limits: { calls: 1, outboxHigh: 1000, outboxLow: 100 } });
    for (let number = 0; number < 20; number++) {
      void peer.callRaw(7n, new Uint8Array(2000)).catch(() => {});
    }
    for (let cid = 1n; cid <= 20n; cid++) {
      socket.receive(request(cid, null));
    }
    await until(() => socket.messages.length >= 20);
    const ours = socket.frames().slice(0, 20).filter(({ sid }) => sid === 7n).length;
    assert.ok(ours >= 5 && ours <= 15, `${ours} of the first 20 were own calls`);
    await peer.close();
  });
}

test("a remote that asks on and on, and takes no answers, is given up", async () => {
  const { peer, socket } = await served(() => 1, { limits: { parked: 0, parkedBytes: 10_000 } });
  socket.bufferedAmount = 1e6;
  let sent = 0;
  while (peer.isOpen && sent < 1000) {
    socket.receive(request(BigInt(++sent), 1));
  }
  assert.ok(sent > 50, "some refusals are no fault");
  socket.end(1006);
  assert.equal((await peer.closed).reason, "write stalled");
});

test("refusals that leave are no fault, however many", async () => {
  const { peer, socket } = await served(() => 1, { limits: { calls: 0, parked: 0, parkedBytes: 10_000, outboxHigh: 1000, outboxLow: 100 } });
  for (let cid = 1n; cid <= 1000n; cid++) {
    socket.receive(request(cid, 1));
    await soon();
  }
  assert.ok(peer.isOpen);
  assert.equal(answers(socket).length, 1000);
});

test("a thousand calls that waited are answered at once, and not one within the other", async () => {
  const { socket } = await served((message) => message, { limits: { outboxHigh: 1000, outboxLow: 100 } });
  socket.bufferedAmount = 2000;
  for (let cid = 1n; cid <= 1024n; cid++) {
    socket.receive(request(cid, null));
  }
  socket.bufferedAmount = 0;
  await until(() => socket.messages.length > 0);
  const seen = [];
  await until(() => seen.push(...answers(socket)) >= 1024);
  assert.equal(seen.length, 1024);
});

test("the id of a call that is not answered breaks the protocol; afterwards it may come again", async () => {
  const { running, handler } = held();
  const { peer, socket } = await served(handler);
  socket.receive(request(1n, 1));
  running[0].resolve(1);
  await soon();
  socket.receive(request(1n, 1));
  assert.ok(peer.isOpen);
  socket.receive(request(1n, 1));
  assert.equal(peer.isOpen, false);
  const ending = peer.closed;
  socket.end(1000);
  assert.deepEqual((({ reason, isPermanent }) => [reason, isPermanent])(await ending), ["protocol error", true]);
});

test("a handler that waits for the remote lets others run", async () => {
  const { peer, socket } = await served(
    async (message, context) => (message === "last" ? "end" : `back: ${await context.remote("server").call("Back", message)}`),
    { limits: { calls: 1, owed: 1 } },
  );
  assert.ok(peer.isOpen);
  socket.receive(request(1n, "first"), request(2n, "second"), request(3n, "last"));
  await soon();
  await soon();
  // Two calls back, over the limit of 1: what a handler waits for others may wait for, too. And the last one was not held up.
  assert.deepEqual(answers(socket), [[1, "a request"], [2, "a request"], [3, "end"]]);
  socket.receive(encodeFrame(RESPONSE, 1n, json.encode("a")), encodeFrame(RESPONSE, 2n, json.encode("b")));
  await soon();
  assert.deepEqual(answers(socket), [[1, "back: a"], [2, "back: b"]]);
});

test("calls that a handler leaves behind do not upset the count", async () => {
  const { running, handler } = held();
  let calls = 0;
  const { socket } = await served(
    (message, context) => {
      if (calls++ === 0) {
        const remote = context.remote("server");
        void Promise.all([remote.call("Back"), remote.call("Back")]);
        return "gone";
      }
      return handler(message);
    },
    { limits: { calls: 1 } },
  );
  socket.receive(request(1n, 1));
  await soon();
  socket.receive(encodeFrame(RESPONSE, 1n, json.encode(1)), encodeFrame(RESPONSE, 2n, json.encode(1)));
  await soon();
  socket.receive(request(2n, 2), request(3n, 3));
  await soon();
  assert.deepEqual(running.map((each) => each.message), [2]);
});

test("a context that is used after the answer does not let more handlers run than may", async () => {
  const { running, handler } = held();
  const contexts = [];
  const { socket } = await served((message, context) => (message === "early" ? contexts.push(context) : handler(message)), { limits: { calls: 1 } });
  socket.receive(request(1n, "early"));
  await soon();
  assert.deepEqual(answers(socket), [[1, 1]]);
  const call = contexts[0].remote("server").call("Back");
  await soon();
  socket.receive(encodeFrame(RESPONSE, 1n, json.encode("back")));
  assert.equal(await call, "back");
  socket.receive(request(2n, 2), request(3n, 3));
  await soon();
  assert.deepEqual(running.map((each) => each.message), [2]);
});

test("handlers come and go", async () => {
  const page = new Namespace("page", { names: { Draw: "ui::Draw" }, ids: { Given: 0x1234n } });
  const services = new Services().add("page", { Show: () => "a" });
  const { socket } = await connected({ services });
  assert.throws(() => services.add(page, { Show: () => "b" }), { name: "DuologueError" });
  services.remove("page", "Show").add(page, { Show: () => "c", Draw: () => "d", Given: () => "e" });
  socket.receive(request(1n, 1), request(2n, 1, serviceId("page", "ui::Draw")), request(3n, 1, 0x1234n));
  await soon();
  assert.deepEqual(answers(socket), [[1, "c"], [2, "d"], [3, "e"]]);
  services.remove("page", "Show");
  socket.receive(request(4n, 1));
  await soon();
  assert.deepEqual(answers(socket), [[4, "UnknownService"]]);
});

test("names and ids that no service can have", () => {
  for (const [namespace, name] of [["", "Add"], ["calc", ""], [" calc", "Add"], ["calc", "Add "], ["calc", 5]]) {
    assert.throws(() => serviceId(namespace, name), TypeError);
  }
  for (const id of [0n, 2n ** 64n - 1n, 2n ** 64n, -1n, 0xf782274c9450aa00n, 0xf782274c9450aaffn]) {
    assert.throws(() => new Namespace("calc", { ids: { Add: id } }).sid("Add"), { kind: "ServiceId" });
  }
  assert.throws(() => new Namespace("calc", { ids: { Add: 5 } }).sid("Add"), TypeError);
  assert.equal(new Namespace("calc", { ids: { Add: 0xf782274c9450ab00n } }).sid("Add"), 0xf782274c9450ab00n);
  assert.throws(() => new Services().add("calc", { Add: 5 }), TypeError);
});
