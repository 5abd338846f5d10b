// A page's script, as an editor sees it. Lines that are wrong on purpose say what is to be found there.

import { CallError, RemoteError, connect, reconnecting } from "/duologue/duologue.mjs";
import { cbor } from "/duologue/cbor.mjs";

/** @import { Handlers, Remote } from "/duologue/duologue.mjs" */
/** @import { ChatMessages, DrawingMessages, MyCalcMessages } from "./declared" */

/** @type {Handlers<ChatMessages>} */
const chat = {
  Said({ who, text }, context) {
    const id = /** @type {bigint} */ (context.callId);
    document.title = who + text + id;
    who.nothing; // E: does not exist on type 'string'
  },
  Ask: async ({ question }) => question === "?",
};

/** @type {Handlers<ChatMessages>} */
const wrong = {
  Ask: () => "yes", // E: is not assignable to type
};

const peer = await connect("/", { wireformat: cbor, services: { chat } });
const calc = /** @type {Remote<MyCalcMessages>} */ (peer.remote("my.calc"));

/** @type {number} */
const sum = await calc.call("Add", { a: 1, b: 2 });
await calc.call("Add", { a: 1 }, { timeout: 500, signal: AbortSignal.timeout(1000) });
/** @type {string} */
const text = await calc.call("Add", { a: 1 }); // E: Type 'number' is not assignable to type 'string'
await calc.call("Add"); // E: Expected 2-3 arguments
await calc.call("Add", { b: 1 }); // E: is not assignable to parameter of type 'Add'
await calc.call("Add", { a: "1" }); // E: Type 'string' is not assignable to type 'number'
await calc.call("Sub", { a: 1 }); // E: is not assignable to parameter of type
await calc.send("Add", { a: 1 }, { timeout: "1" }); // E: Type 'string' is not assignable to type 'number'

/** @type {string} */
const now = await calc.call("sub::Now");
/** @type {string} */
const ident = await calc.call("Ident", 5n);
await calc.send("Resize", [5]);
await calc.send("Resize", ["5"]); // E: Type 'string' is not assignable to type 'number'

const found = await calc.call("Everything", {
  color: "red",
  spot: [1, 2],
  points: [{ x: 1, y: 2, inner: [{ x: 1, y: 1 }] }, null],
  person: {},
  data: Uint8Array.of(1, 2),
  word: "b",
  pair: [1, "a"],
  many: [1, 2, 3],
  by_name: { any: [Uint8Array.of(1)] },
  by_word: { x: 1 },
  whole: { it: 5 },
  text: { it: "x" },
  row: [1],
  anything: { a: [1] },
  words: ["x"],
  "other-name": true,
});
if (!(found instanceof Map)) {
  /** @type {number} */
  const rest = found[5].rest; // what this library writes has all fields
}
const [sparse] = await calc.call("Map");
/** @type {number} */
const rest = sparse.rest; // E: Type 'number | undefined' is not assignable to type 'number'

const drawing = /** @type {Remote<DrawingMessages>} */ (peer.remote("drawing"));
for (const shape of await drawing.call("Draw", { shape: { Circle: { radius: 1.5 } } })) {
  /** @type {number} */
  const radius = shape === "Nowhere" ? 0 : shape.Circle.radius;
}
await drawing.call("Draw", { shape: { Label: "x" }, raw: [1, 2] });
await drawing.call("Draw", { shape: { Line: [[0, 0], [1, 1]] } });
await drawing.call("Draw", { shape: { Square: {} } }); // E: 'Square' does not exist in type

// Without types everything goes, and answers are any.
const anything = peer.remote("other");
/** @type {number} */
const any = await anything.call("What", { ever: [1] });
await anything.send("Ever");

const client = reconnecting("/", { wireformat: cbor, onEvent: (event) => event.type === "gaveUp" && event.error.message });
const { reason, isPermanent } = await (await client.connected()).closed;
try {
  await client.remote("calc").call("Add", {});
} catch (error) {
  if (error instanceof RemoteError && error.kind === "UnknownService") {
    /** @type {"no" | "yes" | "unknown"} */
    const executed = error.executed;
  }
  /** @type {string} */
  const service = error instanceof CallError ? error.service : 5; // E: is not assignable to type 'string'
}
