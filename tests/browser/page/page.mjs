// The client, for scripts that tests run in the page.

import * as duologue from "/duologue/duologue.mjs";
import { cbor } from "/duologue/cbor.mjs";
import { json } from "/duologue/json.mjs";
import { msgpack } from "/duologue/msgpack.mjs";

globalThis.duologue = duologue;
globalThis.formats = { cbor, json, msgpack };
globalThis.rejectSomething = () => {
  Promise.reject(new Error("nobody looked"));
};

globalThis.addScript = () => {
  document.head.append(Object.assign(document.createElement("script"), { text: "1" }));
};
