// A client that connects again: what it tells, what waits, and when it gives up.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Services, reconnecting, serviceId } from "../../../../contrib/duologue_contrib/browser/client/duologue.mjs";
import { RESPONSE, encodeFrame } from "../../../../contrib/duologue_contrib/browser/client/frames.mjs";
import { json } from "../../../../contrib/duologue_contrib/browser/client/json.mjs";
import { FakeSocket, errorOf, inPage, pageHide, soon, until } from "./common.mjs";

const QUICK = { first: 1, factor: 1, longest: 1 };

/** A client, the sockets that it has opened, and what it tells. `refuses(n)` says which attempts come to nothing; `onOpen` is called beside. */
function client(options = {}, refuses = () => false, onOpen = () => {}) {
  const sockets = [];
  const events = [];
  class Socket extends FakeSocket {
    constructor(url) {
      super(url);
      this.number = sockets.push(this);
    }

    shakeHands() {
      const refused = refuses(this.number);
      if (refused === false) {
        super.shakeHands();
        onOpen();
      } else {
        this.onerror({ message: refused === true ? "" : refused });
        this.end(1006);
      }
    }

    close(code, reason) {
      super.close(code, reason);
      queueMicrotask(() => this.end(code));
    }
  }
  const made = reconnecting("ws://x/", { wireformat: json, backoff: QUICK, onEvent: (event) => events.push(event), WebSocket: Socket, ...options });
  return { client: made, sockets, events, told: () => events.map(({ type, attempt }) => (attempt ? `${type} ${attempt}` : type)) };
}

function answer(socket, value) {
  for (const { cid } of socket.frames()) {
    socket.receive(encodeFrame(RESPONSE, cid, json.encode(value)));
  }
}

test("calls wait for the first connection, and for the next one", async () => {
  const { client: made, sockets, told } = client();
  const calc = made.remote("calc");
  const first = calc.call("Add");
  await until(() => sockets[0]?.messages.length);
  answer(sockets[0], 1);
  assert.equal(await first, 1);
  sockets[0].end(1006);
  const second = calc.call("Add");
  assert.equal(made.peer, undefined);
  await until(() => sockets[1]?.messages.length);
  answer(sockets[1], 2);
  assert.equal(await second, 2);
  assert.deepEqual(told(), ["connecting 1", "connected 1", "disconnected", "connecting 2", "connected 2"]);
  await made.close();
});

test("a call whose connection ends under it ends, and is not made again", async () => {
  const { client: made, sockets } = client();
  const call = errorOf(made.remote("calc").call("Add"));
  await until(() => sockets[0]?.messages.length);
  sockets[0].end(1006);
  const error = await call;
  assert.deepEqual([error.name, error.executed, error.service], ["ConnectionLost", "unknown", "calc::Add"]);
  const next = await made.connected();
  assert.equal(next, made.peer);
  await soon();
  assert.deepEqual(sockets[1].frames(), []);
  await made.close();
});

test("what waits for a connection ends by its timeout, by its signal, and by the end of the client: it never ran", async () => {
  const { client: made } = client({}, () => true);
  const calc = made.remote("calc");
  const controller = new AbortController();
  const outcomes = [calc.call("Add", 1, { timeout: 5 }), calc.call("Add", 1, { signal: controller.signal }), calc.call("Add"), made.connected()].map(errorOf);
  controller.abort();
  const told = ({ name, executed }) => [name, executed];
  assert.deepEqual(told(await outcomes[0]), ["CallTimeout", "no"]);
  assert.deepEqual(told(await outcomes[1]), ["AbortError", "no"]);
  await made.close("enough");
  for (const outcome of [outcomes[2], outcomes[3], errorOf(calc.call("Add")), errorOf(calc.send("Log"))]) {
    assert.deepEqual(told(await outcome), ["ConnectionClosed", "no"]);
  }
  await made.closed;
});

test("the time that a call waits for a connection counts in its timeout", async () => {
  const { client: made, sockets } = client();
  const error = await errorOf(made.remote("calc").call("Add", 1, { timeout: 300 }));
  assert.deepEqual([error.name, error.executed], ["CallTimeout", "unknown"]);
  assert.equal(sockets[0].frames().length, 1);
  await made.close();
});

test("at most so many may wait", async () => {
  const { client: made } = client({ limits: { waiting: 1 } }, () => true);
  const first = errorOf(made.remote("calc").call("Add"));
  assert.equal((await errorOf(made.remote("calc").call("Add"))).name, "Overloaded");
  await made.close();
  await first;
});

test("each attempt is told, with the wait before the next one, which grows and is random", async () => {
  const { client: made, events, told } = client({ backoff: { first: 2, factor: 2, longest: 12, maxAttempts: 6 } }, () => true);
  const error = await errorOf(made.closed);
  assert.equal(error.name, "ReconnectFailed");
  assert.equal(error.cause.name, "ConnectFailed");
  assert.deepEqual(told(), [1, 2, 3, 4, 5, 6].flatMap((number) => [`connecting ${number}`, `attemptFailed ${number}`]).concat("gaveUp"));
  const waits = events.filter((event) => event.type === "attemptFailed").map((event) => event.nextIn);
  assert.equal(waits.pop(), undefined);
  waits.forEach((wait, index) => assert.ok(wait >= 0 && wait < Math.min(12, 2 * 2 ** (index + 1))));
  assert.ok(new Set(waits).size > 1);
  const late = await errorOf(made.remote("calc").call("Add"));
  assert.deepEqual([late.name, late.executed], ["ReconnectFailed", "no"]);
});

test("without a wait it goes on, too, after more attempts than a wait can double", async () => {
  const { client: made, sockets } = client({ backoff: { first: 0, maxAttempts: 1030 } }, () => true);
  assert.equal((await errorOf(made.closed)).kind, "ReconnectFailed");
  assert.equal(sockets.length, 1030);
});

test("a connection that was up for long enough is a success, from which attempts are counted anew", async () => {
  for (const [stableAfter, expected] of [[0, "connecting 1"], [1e6, "connecting 2"]]) {
    const { client: made, sockets, told } = client({ backoff: { ...QUICK, stableAfter } });
    await made.connected();
    sockets[0].end(1001);
    await made.connected();
    assert.deepEqual(told().slice(0, 4), ["connecting 1", "connected 1", "disconnected", expected]);
    await made.close();
  }
});

for (const code of [1002, 1003, 1007, 1008, 1009, 4403]) {
  test(`it gives up after the code ${code}`, async () => {
    const { client: made, sockets, events } = client();
    await made.connected();
    sockets[0].end(code, "why");
    assert.equal((await errorOf(made.closed)).name, "ReconnectFailed");
    assert.deepEqual(events.slice(-2).map(({ type, nextIn }) => [type, nextIn]), [["disconnected", undefined], ["gaveUp", undefined]]);
    assert.equal(sockets.length, 1);
  });
}

test("it gives up where the remote breaks the protocol", async () => {
  const { client: made, sockets } = client();
  await made.connected();
  sockets[0].receive("text");
  assert.match((await errorOf(made.closed)).message, /text message/);
});

test("it gives up where it is not let in, as far as it is told, and where the URL makes no sense", async () => {
  const { client: made, told } = client({}, () => "Unexpected server response: 403");
  assert.equal((await errorOf(made.closed)).cause.isPermanent, true);
  assert.deepEqual(told(), ["connecting 1", "attemptFailed 1", "gaveUp"]);
  const nowhere = reconnecting("no url", { wireformat: json });
  assert.equal((await errorOf(nowhere.closed)).name, "ReconnectFailed");
  const without = reconnecting("ws://x/", { wireformat: json, WebSocket: null });
  assert.equal((await errorOf(without.closed)).cause.name, "TypeError");
});

test("givesUp decides otherwise", async () => {
  const { client: made, sockets } = client({ givesUp: (outcome) => (outcome.code === 1012 ? true : outcome.code === 1008 ? false : undefined) });
  await made.connected();
  sockets[0].end(1008);
  await made.connected();
  sockets[1].end(1012);
  await errorOf(made.closed);
  assert.equal(sockets.length, 2);
});

test("onConnect is done before the calls that wait go out, and an attempt fails with it", async () => {
  let count = 0;
  const onConnect = async (peer) => {
    await peer.remote("calc").send("LogIn", ++count);
    if (count === 1) {
      throw new Error("not today");
    }
  };
  const { client: made, sockets, told, events } = client({ onConnect });
  const call = made.remote("calc").call("Add");
  await until(() => sockets[1]?.messages.length === 2);
  assert.equal(sockets[0].frames().length, 1);
  assert.equal(sockets[0].closed.code, 1000);
  const frames = sockets[1].frames();
  assert.deepEqual(frames.map((frame) => frame.cid), [0n, 1n]);
  sockets[1].receive(encodeFrame(RESPONSE, 1n, json.encode(5)));
  assert.equal(await call, 5);
  assert.deepEqual(told(), ["connecting 1", "attemptFailed 1", "connecting 2", "connected 2"]);
  assert.equal(events[1].error.message, "not today");
  await made.close();
});

test("onConnect does not hold up the next attempt when its connection has ended", async () => {
  const { client: made, sockets, told } = client({ onConnect: () => new Promise(() => {}) });
  await until(() => sockets[0]?.readyState === 1);
  await soon();
  sockets[0].end(1006);
  await until(() => sockets.length > 1);
  assert.deepEqual(told().slice(0, 2), ["connecting 1", "attemptFailed 1"]);
  await made.close();
});

test("closing ends the connection, an attempt, and a wait", async () => {
  const up = client();
  await up.client.connected();
  await up.client.close("bye");
  assert.deepEqual(up.sockets[0].closed, { code: 1000, reason: "bye" });
  assert.deepEqual(up.told(), ["connecting 1", "connected 1"]);
  const opening = client({ onConnect: () => new Promise(() => {}) });
  await until(() => opening.sockets[0]?.readyState === 1);
  await soon();
  await opening.client.close();
  assert.equal(opening.sockets[0].closed.code, 1000);
  const pausing = client({ backoff: { first: 1e6, longest: 1e6 } }, () => true);
  await until(() => pausing.told().includes("attemptFailed 1"));
  await pausing.client.close();
  await pausing.client.closed;
});

test("who is told something has the client already", async () => {
  const seen = [];
  class Socket extends FakeSocket {}
  const made = reconnecting("ws://x/", { wireformat: json, WebSocket: Socket, onEvent: ({ type }) => seen.push([type, made.peer?.isOpen]) });
  await made.connected();
  assert.deepEqual(seen, [["connecting", undefined], ["connected", true]]);
  void made.peer.close();
});

for (const type of ["online", "pageshow"]) {
  test(`a machine that has a network again, or a page that somebody comes back to, does not wait: ${type}`, () =>
    inPage(async (target) => {
      const { client: made, sockets } = client({ backoff: { first: 1e8, longest: 1e8 } }, (number) => number === 1);
      await until(() => sockets.length === 1);
      await soon();
      target.dispatchEvent(new Event(type));
      await made.connected();
      await made.close();
    }));
}

test("a page that is left and kept: its connection ends at once, and there is another when somebody comes back", () =>
  inPage(async (target) => {
    const { client: made, sockets, events } = client({ backoff: { first: 1e8, longest: 1e8 } });
    await made.connected();
    const flying = errorOf(made.remote("calc").call("Add"));
    await soon();
    target.dispatchEvent(pageHide(true));
    assert.equal(sockets[0].closed.code, 1000);
    const error = await flying;
    assert.deepEqual([error.name, error.reason, error.executed], ["ConnectionLost", "cut short", "unknown"]);
    await soon();
    assert.equal(sockets.length, 1);
    target.dispatchEvent(new Event("pageshow"));
    await made.connected();
    assert.equal(sockets.length, 2);
    assert.deepEqual(
      events.map((event) => event.type),
      ["connecting", "connected", "disconnected", "connecting", "connected"],
    );
    await made.close();
  }));

for (let ticks = 0; ticks < 12; ticks++) {
  test(`closed ${ticks} microtasks after the socket has opened: that is closed, too`, async () => {
    const closing = {};
    const { client: made, sockets } = client({}, undefined, async () => {
      for (let tick = 0; tick < ticks; tick++) {
        await undefined;
      }
      closing.done = made.close();
    });
    await until(() => closing.done);
    await closing.done;
    assert.equal(sockets.length, 1);
    assert.ok(sockets[0].readyState > 1);
  });
}

test("handlers are the same on each connection, those that were added later included", async () => {
  const services = new Services().add("page", { Show: () => 1 });
  const { client: made, sockets } = client({ services });
  for (const [index, name] of ["Show", "Later"].entries()) {
    await made.connected();
    sockets[index].receive(encodeFrame(serviceId("page", name), 1n, json.encode(1)));
    await soon();
    assert.deepEqual(sockets[index].frames().map((frame) => frame.sid), [RESPONSE]);
    sockets[index].end(1001);
    await soon();
    services.remove("page", "Show").add("page", { [index === 0 ? "Later" : "Last"]: () => 2 });
  }
  await made.close();
});
