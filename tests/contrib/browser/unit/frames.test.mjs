// Frames that are cut anywhere, and bytes that are none.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FrameDecoder, encodeFrame } from "../../../../contrib/duologue_contrib/browser/client/frames.mjs";

const LAST = 2n ** 64n - 1n;

function decoded(decoder, bytes, size) {
  const frames = [];
  for (let start = 0; start < bytes.length; start += size) {
    frames.push(...decoder.frames(bytes.subarray(start, start + size)));
  }
  return frames;
}

function headerOf(length) {
  const header = encodeFrame(7n, 7n, new Uint8Array(0));
  new DataView(header.buffer).setBigUint64(0, length, true);
  return header;
}

test("ids of 64 bits come out exactly", () => {
  const frame = encodeFrame(LAST - 1n, 2n ** 53n + 1n, Uint8Array.of(1, 2));
  assert.deepEqual([...new FrameDecoder(100).frames(frame)], [{ sid: LAST - 1n, cid: 2n ** 53n + 1n, payload: Uint8Array.of(1, 2) }]);
});

test("every cut of a stream gives the same frames", () => {
  const frames = [0, 1, 23, 100, 0, 5].map((size, index) => encodeFrame(BigInt(index + 1), 9n, new Uint8Array(size).fill(index)));
  const stream = new Uint8Array(frames.flatMap((frame) => [...frame]));
  const whole = decoded(new FrameDecoder(1000), stream, stream.length);
  assert.equal(whole.length, frames.length);
  for (let size = 1; size < stream.length; size++) {
    const decoder = new FrameDecoder(1000);
    assert.deepEqual(decoded(decoder, stream, size), whole, `in pieces of ${size}`);
    assert.equal(decoder.isInsideFrame, false);
  }
});

test("a payload keeps nothing of the message that it came in", () => {
  const frame = encodeFrame(1n, 1n, new Uint8Array(3));
  const message = new Uint8Array([...frame, ...frame]);
  const [{ payload }] = [...new FrameDecoder(100).frames(message)];
  assert.equal(payload.buffer.byteLength, 3);
});

test("a frame of exactly the limit passes, one of a byte more does not", () => {
  assert.equal([...new FrameDecoder(100).frames(encodeFrame(1n, 1n, new Uint8Array(76)))].length, 1);
  assert.throws(() => [...new FrameDecoder(100).frames(encodeFrame(1n, 1n, new Uint8Array(77)))], { kind: "FrameTooLarge" });
});

for (const length of [0n, 7n, 8n, 23n, 101n, 2n ** 53n + 1n, 2n ** 63n, LAST]) {
  test(`a length of ${length} is refused as soon as it is there, and nothing comes after it`, () => {
    for (const size of [1, 8, 24]) {
      const decoder = new FrameDecoder(100);
      const header = headerOf(length);
      assert.throws(() => decoded(decoder, header.subarray(0, 8), size), { kind: length < 24n ? "ProtocolError" : "FrameTooLarge" });
      assert.deepEqual(decoded(decoder, encodeFrame(1n, 1n, new Uint8Array(0)), 24), []);
    }
  });
}

test("the frames before a bad one come out", () => {
  const decoder = new FrameDecoder(100);
  const frames = decoder.frames(new Uint8Array([...encodeFrame(1n, 1n, new Uint8Array(1)), ...headerOf(3n)]));
  assert.equal(frames.next().value.sid, 1n);
  assert.throws(() => frames.next(), { name: "ProtocolError" });
});

test("a mebibyte in single bytes costs linear work, and memory for what has come", () => {
  const decoder = new FrameDecoder(2 ** 20);
  const frame = encodeFrame(1n, 1n, new Uint8Array(2 ** 20 - 24).fill(5));
  const begin = process.cpuUsage();
  const before = process.memoryUsage().arrayBuffers;
  assert.deepEqual(decoded(decoder, frame.subarray(0, -1), 1), []);
  assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 23);
  const [{ payload }] = [...decoder.frames(frame.subarray(-1))];
  assert.equal(payload.length, 2 ** 20 - 24);
  assert.ok(payload.every((each) => each === 5));
  const { user, system } = process.cpuUsage(begin);
  assert.ok(user + system < 10_000_000, `${user + system} us`);
});
