// Frames: the only layout on the wire (docs/protocol.md, section 1).
//
//   offset  0   8 bytes  length of the whole frame, these 8 bytes included
//           8   8 bytes  service id
//          16   8 bytes  connection id
//          24   rest     payload
//
// All integers are little endian, and of 64 bits: BigInts.

import { FrameTooLarge, ProtocolError } from "./errors.mjs";

export const HEADER_SIZE = 24;
export const ERROR = 0n;
export const RESPONSE = 2n ** 64n - 1n;

/**
 * @typedef {object} Frame
 * @property {bigint} sid
 * @property {bigint} cid
 * @property {Uint8Array<ArrayBuffer>} payload
 */

/**
 * @param {bigint} sid
 * @param {bigint} cid
 * @param {Uint8Array} payload
 */
export function encodeFrame(sid, cid, payload) {
  const frame = new Uint8Array(HEADER_SIZE + payload.length);
  const header = new DataView(frame.buffer);
  header.setBigUint64(0, BigInt(frame.length), true);
  header.setBigUint64(8, sid, true);
  header.setBigUint64(16, cid, true);
  frame.set(payload, HEADER_SIZE);
  return frame;
}

/**
 * Cuts a stream of bytes into frames, wherever the transport has cut it. The work is linear in the bytes, and what is held is what
 * has come, never what a header announces. After an error it gives nothing any more.
 */
export class FrameDecoder {
  #maxFrame;
  /** The beginning of a frame that is not complete, and room for more: never twice of what has come. */
  #held = new Uint8Array(0);
  #have = 0;
  /** How much of a frame must be there before there is something new to see: first its length, then all of it. */
  #need = 8;
  #isPoisoned = false;

  /** @param {number} maxFrame in bytes, header included */
  constructor(maxFrame) {
    this.#maxFrame = maxFrame;
  }

  /** Whether a frame has begun and is not complete. */
  get isInsideFrame() {
    return this.#have > 0;
  }

  /**
   * The frames that are complete with these bytes. Throws `ProtocolError` or `FrameTooLarge` for bytes that can't be frames, after
   * the frames before them.
   *
   * @param {Uint8Array<ArrayBuffer>} bytes
   * @returns {Generator<Frame, void>}
   */
  *frames(bytes) {
    let start = 0;
    while (!this.#isPoisoned) {
      const rest = bytes.length - start;
      if (this.#have + rest < this.#need) {
        this.#keep(bytes.subarray(start));
        return;
      }
      if (this.#have === 0) {
        const size = this.#sizeOf(bytes.subarray(start));
        if (size <= rest) {
          this.#need = 8;
          yield frameOf(bytes.subarray(start, start + size));
          start += size;
        }
        continue;
      }
      const end = start + this.#need - this.#have;
      this.#keep(bytes.subarray(start, end));
      start = end;
      if (this.#sizeOf(this.#held) === this.#have) {
        const frame = frameOf(this.#held.subarray(0, this.#have));
        this.#held = new Uint8Array(0);
        this.#have = 0;
        this.#need = 8;
        yield frame;
      }
    }
  }

  /**
   * The size of the frame that begins here, all of which must now be there.
   *
   * @param {Uint8Array<ArrayBuffer>} start at least 8 bytes
   */
  #sizeOf(start) {
    const size = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
    if (size < HEADER_SIZE) {
      this.#isPoisoned = true;
      throw new ProtocolError(`a frame of ${size} bytes can't hold its own header of ${HEADER_SIZE}`);
    }
    if (size > this.#maxFrame) {
      this.#isPoisoned = true;
      throw new FrameTooLarge(size, this.#maxFrame);
    }
    this.#need = Number(size);
    return this.#need;
  }

  /** @param {Uint8Array} piece */
  #keep(piece) {
    const size = this.#have + piece.length;
    if (size > this.#held.length) {
      const larger = new Uint8Array(Math.max(size, Math.min(2 * this.#held.length, this.#need)));
      larger.set(this.#held.subarray(0, this.#have));
      this.#held = larger;
    }
    this.#held.set(piece, this.#have);
    this.#have = size;
  }
}

/**
 * @param {Uint8Array<ArrayBuffer>} whole
 * @returns {Frame}
 */
function frameOf(whole) {
  const header = new DataView(whole.buffer, whole.byteOffset);
  // The payload is a copy: what handlers keep of it must not keep a whole message of the WebSocket.
  return { sid: header.getBigUint64(8, true), cid: header.getBigUint64(16, true), payload: whole.slice(HEADER_SIZE) };
}
