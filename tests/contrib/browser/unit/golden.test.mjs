// Golden bytes: what the Rust original writes, in both directions.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { cbor } from "../../../../contrib/duologue_contrib/browser/client/cbor.mjs";
import { serviceId } from "../../../../contrib/duologue_contrib/browser/client/duologue.mjs";
import { errorBody, readError } from "../../../../contrib/duologue_contrib/browser/client/error_bodies.mjs";
import { FrameDecoder, encodeFrame } from "../../../../contrib/duologue_contrib/browser/client/frames.mjs";
import { connected, errorOf, hex, hexOf, soon } from "./common.mjs";

const VECTORS = JSON.parse(readFileSync(new URL("../../../vectors/base_frames.json", import.meta.url), "utf8"));
const FRAMES = VECTORS.frames.map((each) => ({ ...each, sid: BigInt(each.sid), cid: BigInt(each.cid) }));
const golden = (start) => FRAMES.find((each) => each.what.startsWith(start));

test("service ids are those of the original", () => {
  assert.ok(VECTORS.service_ids.length >= 3);
  for (const { namespace, name, sid } of VECTORS.service_ids) {
    assert.equal(serviceId(namespace, name), BigInt(sid));
  }
});

for (const { what, sid, cid, payload, frame } of FRAMES) {
  test(`a frame is written as it is there: ${what}`, () => {
    assert.equal(hexOf(encodeFrame(sid, cid, hex(payload))), frame);
  });

  for (const size of [1, 4, 7, 8, 24, 1000]) {
    test(`a frame is read as it is meant, in pieces of ${size}: ${what}`, () => {
      const decoder = new FrameDecoder(1000);
      const bytes = hex(frame + frame);
      const frames = [];
      for (let start = 0; start < bytes.length; start += size) {
        frames.push(...decoder.frames(bytes.subarray(start, start + size)));
      }
      assert.deepEqual(frames, [0, 1].map(() => ({ sid, cid, payload: hex(payload) })));
      assert.equal(decoder.isInsideFrame, false);
    });
  }
}

test("payloads are written as they are there", () => {
  assert.equal(hexOf(cbor.encode(5)), golden("call Add(5)").payload);
  assert.equal(hexOf(cbor.encode(undefined)), golden("call Show").payload);
  assert.equal(hexOf(cbor.encode(errorBody("UnknownService", 1n, 2n))), golden("error UnknownService").payload);
  assert.equal(hexOf(cbor.encode({ DeserializeWireFormat: { context: "x" } })), golden("error DeserializeWireFormat").payload);
});

test("error bodies are understood", () => {
  const read = (start) => readError(hex(golden(start).payload), cbor.decode);
  assert.deepEqual(read("error UnknownService"), { kind: "UnknownService", text: "" });
  assert.deepEqual(read("error InternalServerError"), { kind: "InternalServerError", text: "" });
  assert.deepEqual(read("error DeserializeWireFormat"), { kind: "DeserializeWireFormat", text: "x" });
});

test("a peer calls, and is answered, in the original's bytes", async () => {
  const { peer, socket } = await connected({ wireformat: cbor });
  const remotes = peer.remote("remotes");
  const calls = [remotes.send("Add", 5), remotes.call("Add", 5), remotes.call("Show")].slice(1);
  await soon();
  const sent = ["send Add(5)", "call Add(5)", "call Show"].map((start) => golden(start).frame);
  assert.deepEqual(socket.messages.map(hexOf), [sent.join("")]);
  socket.receive(hex(golden("response ()").frame), hex(golden("response 10").frame));
  assert.deepEqual(await Promise.all(calls), [null, 10]);
});

test("errors end the calls that they name", async () => {
  const { peer, socket } = await connected({ wireformat: cbor });
  const calls = [peer.remote("remotes").call("Show"), peer.remote("remotes").call("Add", 5)].map(errorOf);
  await soon();
  socket.receive(hex(golden("error InternalServerError").frame), hex(golden("error UnknownService").frame));
  const [failed, unknown] = await Promise.all(calls);
  assert.deepEqual([failed.kind, failed.executed], ["InternalServerError", "unknown"]);
  assert.deepEqual([unknown.kind, unknown.executed], ["UnknownService", "no"]);
});

test("a peer answers in the original's bytes", async () => {
  const { socket } = await connected({ wireformat: cbor, services: { remotes: { Add: () => undefined, Show: () => 10 } } });
  socket.receive(hex(golden("call Add(5)").frame), hex(golden("call Show").frame));
  await soon();
  socket.receive(encodeFrame(1n, 2n, new Uint8Array(0)));
  await soon();
  const answers = ["response ()", "response 10", "error UnknownService"].map((start) => golden(start).frame);
  assert.equal(socket.messages.map(hexOf).join(""), answers.join(""));
});
