// A client in Node.js that knows nothing of the library: WebSocket by npm's `ws`, frames by hand.
//
//   node node_client.mjs URL SERVICE_ID_OF_ECHO SERVICE_ID_OF_ADD
//
// It calls Echo, its frame cut into several messages, and answers calls of Add. Each thing that happens is a line.

import { createRequire } from "node:module";

const WebSocket = createRequire(process.cwd() + "/")("ws");
const [url, echo, add] = process.argv.slice(2);
const RESPONSE = 2n ** 64n - 1n;
const ECHO_CALL = 7n;
const socket = new WebSocket(url);
let received = Buffer.alloc(0);

function frame(sid, cid, payload) {
  const header = Buffer.alloc(24);
  header.writeBigUInt64LE(BigInt(24 + payload.length), 0);
  header.writeBigUInt64LE(BigInt(sid), 8);
  header.writeBigUInt64LE(BigInt(cid), 16);
  return Buffer.concat([header, payload]);
}

function take(sid, cid, payload) {
  const value = JSON.parse(payload.toString());
  if (sid === BigInt(add)) {
    console.log(`called ${value.a} ${value.b}`);
    socket.send(frame(RESPONSE, cid, Buffer.from(JSON.stringify(value.a + value.b))));
  } else if (sid === RESPONSE && cid === ECHO_CALL) {
    console.log(`echo ${value.length}`);
  } else {
    console.log(`unexpected ${sid} ${cid}`);
  }
}

socket.on("open", () => {
  console.log(`open ${JSON.stringify(socket.extensions)}`);
  const data = Buffer.alloc(200_000).toString("base64");
  const call = frame(echo, ECHO_CALL, Buffer.from(JSON.stringify({ data })));
  for (let start = 0; start < call.length; start += 99_999) {
    socket.send(call.subarray(start, start + 99_999));
  }
});

socket.on("message", (data, isBinary) => {
  received = Buffer.concat([received, data]);
  while (isBinary && received.length >= 24) {
    const size = Number(received.readBigUInt64LE(0));
    if (received.length < size) {
      break;
    }
    take(received.readBigUInt64LE(8), received.readBigUInt64LE(16), received.subarray(24, size));
    received = received.subarray(size);
  }
});

socket.on("close", (code) => console.log(`close ${code}`));
socket.on("error", (error) => console.log(`error ${error.message}`));
process.stdin.on("data", (line) => {
  if (line.toString().startsWith("text")) {
    socket.send("text");
  } else {
    socket.close(1000);
  }
});
socket.on("close", () => process.stdin.destroy());
