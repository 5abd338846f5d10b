// A page that connects by itself, and again.

import "./page.mjs";

globalThis.events = [];
globalThis.client = duologue.reconnecting("/", {
  wireformat: formats.cbor,
  services,
  backoff: { longest: 500 },
  onEvent: ({ type }) => events.push(type),
});
