// How a connection of a page ends, and what that says.

import assert from "node:assert/strict";
import { test } from "node:test";

import { connect, serviceId } from "../../../../contrib/duologue_contrib/browser/client/duologue.mjs";
import { ERROR, encodeFrame } from "../../../../contrib/duologue_contrib/browser/client/frames.mjs";
import { json } from "../../../../contrib/duologue_contrib/browser/client/json.mjs";
import { FakeSocket, connected, errorOf, inPage, pageHide, soon } from "./common.mjs";

const endOf = async (peer) => {
  const { reason, detail, code, isPermanent } = await peer.closed;
  return [reason, code, isPermanent, detail];
};

for (const [what, pieces, code, text] of [
  ["a text message", ["hello"], 4003, /text message/],
  ["garbage", [new Uint8Array(30).fill(0x41)], 4002, /over the limit/],
  ["a length that is too short", [new Uint8Array(24)], 4002, /of 0 bytes/],
  ["a frame over the limit", [encodeFrame(1n, 1n, new Uint8Array(1000)).subarray(0, 8)], 4002, /of 1024 bytes is over the limit of 1000/],
]) {
  test(`bad input ends the connection with a reason, and nothing else: ${what}`, async () => {
    let count = 0;
    const { peer, socket } = await connected({ limits: { maxFrame: 1000 }, services: { page: { Show: () => count++ } } });
    const call = errorOf(peer.remote("calc").call("Add"));
    await soon();
    socket.frames();
    socket.receive(...pieces);
    const error = await call;
    assert.deepEqual([error.name, error.reason, error.executed], ["ConnectionLost", "protocol error", "unknown"]);
    assert.equal(socket.closed.code, code);
    assert.match(socket.closed.reason, text);
    const [said, ...more] = socket.frames();
    assert.deepEqual([said.sid, said.cid, more], [ERROR, 0n, []]);
    assert.match(json.decode(said.payload).DeserializeWireFormat.context, text);
    socket.receive(encodeFrame(serviceId("page", "Show"), 1n, json.encode(1)));
    await soon();
    assert.equal(count, 0);
    socket.end(code);
    const [reason, , isPermanent, detail] = await endOf(peer);
    assert.deepEqual([reason, isPermanent], ["protocol error", true]);
    assert.match(detail, text);
  });
}

for (const [code, text, reason, isPermanent] of [
  [1000, "bye", "closed by remote", false],
  [1001, "", "closed by remote", false],
  [1005, "", "closed by remote", false],
  [1006, "", "cut short", false],
  [1002, "x", "transport failed", true],
  [1003, "x", "transport failed", true],
  [1008, "x", "transport failed", true],
  [1009, "x", "transport failed", true],
  [1011, "x", "transport failed", false],
  [1012, "", "closed by remote", false],
  [4403, "", "closed by remote", true],
]) {
  test(`the remote closes with ${code}`, async () => {
    const { peer, socket } = await connected();
    const call = errorOf(peer.remote("calc").call("Add"));
    await soon();
    socket.end(code, text);
    const error = await call;
    assert.deepEqual([error.name, error.reason, error.executed], ["ConnectionLost", reason, "unknown"]);
    assert.deepEqual((await endOf(peer)).slice(0, 3), [reason, code, isPermanent]);
  });
}

test("the remote found something wrong, and says so before it closes", async () => {
  const { peer, socket, events } = await connected();
  socket.receive(encodeFrame(ERROR, 0n, json.encode({ DeserializeWireFormat: { context: "a frame of 3 bytes" } })));
  assert.deepEqual(events, [{ type: "errorReported", kind: "DeserializeWireFormat", text: "a frame of 3 bytes", callId: 0n }]);
  socket.end(1000);
  assert.deepEqual(await endOf(peer), ["closed by remote", 1000, true, "a frame of 3 bytes"]);
});

test("a frame whose rest does not come", async () => {
  const { peer, socket } = await connected({ limits: { frameTimeout: 5 } });
  socket.receive(encodeFrame(1n, 1n, new Uint8Array(10)).subarray(0, 20));
  await peer.left;
  assert.equal(socket.closed.code, 4008);
  socket.end(4008);
  assert.equal((await endOf(peer))[0], "frame timeout");
});

test("a frame has its time from its first byte on, however it comes; each has its own", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { peer, socket } = await connected({ limits: { frameTimeout: 20 }, services: { page: { Show: () => 1 } } });
  const frame = encodeFrame(serviceId("page", "Show"), 0n, json.encode(1));
  socket.receive(frame.subarray(0, 10));
  context.mock.timers.tick(19);
  socket.receive(new Uint8Array([...frame.subarray(10), ...frame.subarray(0, 10)]));
  context.mock.timers.tick(19);
  socket.receive(frame.subarray(10)); // and nothing has begun that could be late
  context.mock.timers.tick(1000);
  assert.ok(peer.isOpen);
  for (let at = 0; at < 20; at++) {
    assert.ok(peer.isOpen);
    socket.receive(frame.subarray(at, at + 1));
    context.mock.timers.tick(1);
  }
  assert.equal(peer.isOpen, false);
  socket.end(4008);
  assert.equal((await endOf(peer))[0], "frame timeout");
});

test("we close: own calls end at once, and the remote's are refused", async () => {
  let signal;
  const handler = (message, context) => new Promise(() => (signal = context.signal));
  const { peer, socket } = await connected({ services: { page: { Show: handler } } });
  socket.receive(encodeFrame(serviceId("page", "Show"), 1n, json.encode(1)));
  const call = errorOf(peer.remote("calc").call("Add"));
  await soon();
  const closed = peer.close("done");
  assert.equal(peer.isOpen, false);
  const error = await call;
  assert.deepEqual([error.name, error.executed, error.reason], ["ConnectionClosed", "unknown", "closed locally"]);
  assert.deepEqual(socket.closed, { code: 1000, reason: "done" });
  assert.ok(signal.aborted);
  socket.end(1000);
  assert.deepEqual((({ reason, detail }) => [reason, detail])(await closed), ["closed locally", "done"]);
  assert.equal((await peer.close()).detail, "done");
});

test("with grace handlers that run may end, and their answers go out first", async () => {
  let resolve;
  const { peer, socket } = await connected({ services: { page: { Show: () => new Promise((done) => (resolve = done)) } } });
  const sid = serviceId("page", "Show");
  socket.receive(encodeFrame(sid, 1n, json.encode(1)));
  const closed = peer.close("", { grace: 60_000 });
  socket.receive(encodeFrame(sid, 2n, json.encode(1)));
  await soon();
  assert.equal(socket.closed, undefined);
  resolve("the answer");
  await soon();
  assert.equal(socket.closed.code, 1000);
  assert.deepEqual(socket.frames().map((frame) => [frame.cid, frame.sid === ERROR]), [[2n, true], [1n, false]]);
  socket.end(1000);
  assert.equal((await closed).reason, "closed locally");
});

test("grace is for handlers: a call that one has left behind ends at once, and nothing is waited for", async () => {
  const leaving = (_, context) => void context.remote("server").call("Back").catch(() => {});
  const { peer, socket } = await connected({ services: { page: { Show: leaving } }, limits: { closeTimeout: 0 } });
  socket.receive(encodeFrame(serviceId("page", "Show"), 1n, json.encode(1)));
  await soon();
  const { reason } = await peer.close("", { grace: Infinity });
  assert.equal(reason, "closed locally");
});

test("a handler that closes in the middle of a message: nothing is left to come", async () => {
  const { peer, socket } = await connected({ services: { page: { Show: (_, { peer }) => void peer.close() } } });
  const timers = () => process.getActiveResourcesInfo().filter((each) => each === "Timeout").length;
  const before = timers();
  const frame = encodeFrame(serviceId("page", "Show"), 1n, json.encode(1));
  socket.receive(Uint8Array.of(...frame, ...frame.subarray(0, 10)));
  socket.end(1000);
  await peer.closed;
  assert.equal(timers(), before);
});

test("grace has an end, and so has the remote's time for its goodbye", async () => {
  const { peer, socket } = await connected({ services: { page: { Show: () => new Promise(() => {}) } }, limits: { closeTimeout: 5 } });
  socket.receive(encodeFrame(serviceId("page", "Show"), 1n, json.encode(1)));
  const { reason, code } = await peer.close("", { grace: 5 });
  assert.deepEqual([reason, code, socket.closed.code], ["closed locally", 1006, 1000]);
});

test("a connection that is cut while it closes stays closed by us", async () => {
  const { peer, socket } = await connected();
  const closed = peer.close();
  socket.end(1006);
  assert.equal((await closed).reason, "closed locally");
});

test("a remote that vanishes while handlers have their grace: it is over, and nothing is waited for", async () => {
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  const before = timers();
  const { peer, socket } = await connected({ services: { page: { Show: () => new Promise(() => {}) } }, limits: { closeTimeout: 5000 } });
  socket.receive(encodeFrame(serviceId("page", "Show"), 1n, json.encode(1)));
  const closing = peer.close("bye", { grace: 5000 });
  socket.end(1006);
  assert.equal((await closing).reason, "closed locally");
  assert.equal(timers(), before);
});

test("a page that is left, and that the browser keeps: the remote is told at once, and all ends", () =>
  inPage(async (target) => {
    let signal;
    const { peer, socket } = await connected({ services: { page: { Show: (_, context) => new Promise(() => (signal = context.signal)) } } });
    const call = errorOf(peer.remote("calc").call("Add"));
    socket.receive(encodeFrame(serviceId("page", "Show"), 1n, json.encode(1)));
    await soon();
    target.dispatchEvent(pageHide(false)); // the browser ends that one by itself
    assert.ok(peer.isOpen);
    target.dispatchEvent(pageHide(true));
    assert.deepEqual(socket.closed, { code: 1000, reason: "the page was left" });
    assert.deepEqual(await endOf(peer), ["cut short", 1000, false, "the page was left"]);
    const error = await call;
    assert.deepEqual([error.name, error.executed], ["ConnectionLost", "unknown"]);
    assert.ok(signal.aborted);
  }));

test("a page that is left while it connects", () =>
  inPage(async (target) => {
    let socket;
    class Slow extends FakeSocket {
      shakeHands() {
        socket = this;
      }
    }
    const failing = errorOf(connect("ws://x/", { wireformat: json, WebSocket: Slow }));
    await soon();
    target.dispatchEvent(pageHide(true));
    assert.match((await failing).message, /the page was left/);
    assert.equal(socket.readyState, 2);
  }));

test("a connection that ends leaves nothing in the page", () =>
  inPage(async () => {
    const { peer, socket } = await connected();
    socket.end(1006);
    await peer.closed;
  }));

test("a reason that a WebSocket can't carry is cut", async () => {
  const { peer, socket } = await connected();
  void peer.close("ä".repeat(200));
  assert.equal(socket.closed.reason, "?".repeat(123));
});

// -- connecting ----------------------------------------------------------------------------------------------------------

test("connecting fails with what is known about it", async () => {
  const saying = (message) =>
    class extends FakeSocket {
      shakeHands() {
        this.onerror({ message });
        this.end(1006);
      }
    };
  for (const [message, isPermanent] of [
    ["Unexpected server response: 403", true],
    ["Unexpected server response: 302", true],
    ["Unexpected server response: 503", false],
    ["connect ECONNREFUSED 127.0.0.1:40300", false],
    [undefined, false],
  ]) {
    const error = await errorOf(connect("ws://x/", { wireformat: json, WebSocket: saying(message) }));
    assert.deepEqual([error.name, error.isPermanent, error.url], ["ConnectFailed", isPermanent, "ws://x/"]);
    assert.ok(error.message.includes(message ?? "is a server there"));
  }
});

test("connecting ends by its time, and by a signal", async () => {
  class Silent extends FakeSocket {
    shakeHands() {}
  }
  const options = { wireformat: json, WebSocket: Silent };
  const late = await errorOf(connect("ws://x/", { ...options, limits: { handshakeTimeout: 5 } }));
  assert.deepEqual([late.name, late.isPermanent], ["ConnectFailed", false]);
  const controller = new AbortController();
  const aborted = errorOf(connect("ws://x/", { ...options, signal: controller.signal }));
  controller.abort(new Error("enough"));
  assert.equal((await aborted).message, "enough");
});

test("the time for connecting, and its signal, end nothing later", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const controller = new AbortController();
  const { peer, socket } = await connected({ limits: { handshakeTimeout: 20 }, signal: controller.signal });
  context.mock.timers.tick(1000);
  controller.abort();
  assert.ok(peer.isOpen);
  assert.equal(socket.closed, undefined);
});

test("what makes no sense is said at once", async () => {
  for (const [url, options, name, text = /./] of [
    ["ws://x/", {}, "TypeError"],
    ["ws://x/", { wireformat: "json" }, "TypeError"],
    ["ws://x/", { wireformat: json, limits: { cals: 5 } }, "TypeError"],
    ["ws://x/", { wireformat: json, limits: { calls: -5 } }, "RangeError"],
    ["ws://x/", { wireformat: json, services: { page: { Show: 5 } } }, "TypeError"],
    ["ws://x/", { wireformat: json, limits: { calls: "5" } }, "RangeError", /calls is 5, a string: give a number/],
    ["/only/a/path", { wireformat: json }, "ConnectFailed", /outside of a page write all of it/],
    ["no url", { wireformat: json }, "ConnectFailed"],
  ]) {
    const error = await errorOf(connect(url, { WebSocket: FakeSocket, ...options }));
    assert.equal(error.name, name);
    assert.match(error.message, text);
  }
});

test("in a page a path will do", async () => {
  const urls = [];
  class Socket extends FakeSocket {
    constructor(url) {
      super(url);
      urls.push(url);
    }
  }
  globalThis.location = { href: "https://example.org:8443/a/page.html#x" };
  try {
    for (const url of ["/", "chat?x=1", "wss://other.example/"]) {
      await connect(url, { wireformat: json, WebSocket: Socket });
    }
  } finally {
    delete globalThis.location;
  }
  assert.deepEqual(urls, ["wss://example.org:8443/", "wss://example.org:8443/a/chat?x=1", "wss://other.example/"]);
});
