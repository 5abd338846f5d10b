// Scenes that a page plays against a server of the tests: node scenes.mjs SCENE URL WIREFORMAT ...
//
// What happens is told in lines of JSON. Where a scene waits for the test it waits for a line of input.

import { createInterface } from "node:readline";

import { connect, reconnecting } from "../../../contrib/duologue_contrib/browser/client/duologue.mjs";

const [scene, url, name, ...more] = process.argv.slice(2);
const wireformat = (await import(`../../../contrib/duologue_contrib/browser/client/${name}.mjs`))[name];
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const tell = (value) => console.log(JSON.stringify(value));
const goOn = () => lines.next();
const whole = (bytes) => "x".repeat(2 ** 20 - 24 - bytes);

async function errorOf(promise) {
  try {
    return await promise;
  } catch ({ name, kind, executed, service, reason }) {
    return { name, kind, executed, service, reason };
  }
}

const notes = [];
const services = {
  show: {
    Double: ({ number }) => 2 * number,
    Deep: async ({ times }, context) => (times === 0 ? 0 : 1 + (await context.remote("calc").call("Add", { a: 0, b: -times }))),
    Blob: (size) => "x".repeat(size),
    Broken: () => {
      throw new Error("secret");
    },
    Note: ({ number }) => {
      notes.push(number);
    },
  },
};

const SCENES = {
  async bothWays() {
    const peer = await connect(url, { wireformat, services });
    const calc = peer.remote("calc");
    const answers = await Promise.all(Array.from({ length: 1000 }, (_, a) => calc.call("Add", { a, b: 1 })));
    tell({ right: answers.filter((answer, a) => answer === a + 1).length });
    for (let number = 0; number < 1000; number++) {
      await calc.send("Note", { number });
    }
    tell({ sent: true, added: await calc.call("Add", { a: 40, b: 2 }) });
    await goOn();
    tell({ notes: notes.length, sum: notes.reduce((sum, number) => sum + number, 0) });
    await peer.close();
    tell(await peer.closed);
  },

  async mebibyte() {
    const header = name === "json" ? 2 : 5; // of a text of this length, or its quotes
    const peer = await connect(url, { wireformat, services });
    const calc = peer.remote("calc");
    const text = whole(header);
    tell({ same: (await calc.call("Text", text)) === text });
    tell(await errorOf(calc.call("Text", text + "x")));
    tell({ still: await calc.call("Add", { a: 1 }) });
    await goOn();
    tell({ open: peer.isOpen });
    await peer.close();
  },

  async outcomes() {
    const events = [];
    const peer = await connect(url, { wireformat, services, onEvent: (event) => events.push(event.kind) });
    const calc = peer.remote("calc");
    const controller = new AbortController();
    const aborted = errorOf(calc.call("Hold", null, { signal: controller.signal }));
    tell({ timeout: await errorOf(calc.call("Hold", null, { timeout: 50 })) });
    controller.abort();
    tell({ aborted: await aborted });
    tell({ unknown: await errorOf(calc.call("Nothing")) });
    tell({ unread: await errorOf(calc.call("Add", { a: "x" })) });
    tell({ failed: await errorOf(calc.call("Fail")) });
    tell({ deep: await calc.call("Add", { a: 0, b: -20 }) });
    await goOn();
    tell({ events });
    await peer.close();
  },

  async values() {
    const peer = await connect(url, { wireformat });
    const calc = peer.remote("calc");
    const values = [
      null, true, 0, -1, 2 ** 31, 2 ** 53 - 1, -(2 ** 53 - 1), 2n ** 53n, 2n ** 64n - 1n, -(2n ** 63n), 0.1, -1.5e300, 5e-324,
      "ä €😀\u0000\"\\", [], {}, [[[]]], { a: { b: [1, "x", null] }, "": 1, __proto__x: 2 },
      Array.from({ length: 20_000 }, (_, index) => index),
    ];
    if (name !== "json") {
      values.push(new Uint8Array(0), Uint8Array.of(0, 255), [NaN, Infinity, -Infinity]);
    }
    const { deepStrictEqual } = await import("node:assert");
    for (const value of values) {
      deepStrictEqual(await calc.call("Mirror", { value }), value);
    }
    const names = new Map([[1, "a"], [-5, "b"], [2n ** 63n, "c"]]);
    deepStrictEqual(await calc.call("ByNumber", { names }), { 1: "a", "-5": "b", "9223372036854775808": "c" });
    tell({ sum: await calc.call("Data", { data: Uint8Array.from({ length: 1000 }, (_, index) => index) }), values: values.length });
    await peer.close();
  },

  async ending() {
    const peer = await connect(url, { wireformat, services });
    const call = errorOf(peer.remote("calc").call("Hold"));
    tell(await peer.closed);
    tell(await call);
  },

  async reconnect() {
    const onEvent = ({ type, attempt, reason }) => tell({ [type]: attempt ?? reason ?? 0 });
    const backoff = { first: 20, longest: 100 };
    const client = reconnecting(url, { wireformat, services, backoff, onEvent });
    const calc = client.remote("calc");
    tell({ first: await calc.call("Add", { a: 1, b: 2 }) });
    const flying = errorOf(calc.call("Hold"));
    await calc.call("Add", { a: 1, b: 2 }); // by now the other one is there
    tell({ flying: true });
    tell({ lost: await flying });
    tell({ second: await calc.call("Add", { a: 2, b: 2 }) });
    await client.close();
    tell({ closed: true });
  },

  async injected() {
    const { createRequire } = await import("node:module");
    const WebSocket = createRequire(`${more[0]}/`)("ws");
    const peer = await connect(url, { wireformat, services, WebSocket });
    const answers = await Promise.all(Array.from({ length: 100 }, (_, a) => peer.remote("calc").call("Add", { a, b: 1 })));
    tell({ right: answers.filter((answer, a) => answer === a + 1).length });
    await goOn();
    await peer.close();
    class Elsewhere extends WebSocket {
      constructor(to) {
        super(to, { origin: "https://evil.example" });
      }
    }
    const client = reconnecting(url, { wireformat, WebSocket: Elsewhere });
    tell({ gaveUp: await errorOf(client.closed) });
  },
};

await SCENES[scene]();
process.stdin.destroy();
