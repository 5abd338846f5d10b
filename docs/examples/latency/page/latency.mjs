// The page: it calls Python, is called by it, and shows how long both take.

import { reconnecting } from "/duologue/duologue.mjs";
import { cbor } from "/duologue/cbor.mjs";
import { json } from "/duologue/json.mjs";
import { msgpack } from "/duologue/msgpack.mjs";
import { Chart } from "./chart.mjs";
import { Calling } from "./measuring.mjs";

const FORMATS = { cbor, msgpack, json };
/** How often what was measured is shown, in milliseconds. Python sends its own as often. */
const PERIOD = 500;

const find = (selector) => document.querySelector(selector);
const controls = { outstanding: find("#outstanding"), size: find("#size"), wireformat: find("#wireformat") };
const chart = new Chart(find("#chart"), ["out", "in"]);
const calling = new Calling(call);

let isRunning = true;
let timesLost = 0;
let client = connect();

// -- the connection ---------------------------------------------------------------------------------------------------------

/** A server speaks one wire format, so each has one of its own, at the next port. */
function addressOf(wireformat) {
  const { hostname, port } = location;
  return `ws://${hostname}:${Number(port || 80) + Object.keys(FORMATS).indexOf(wireformat)}/`;
}

function connect() {
  const name = controls.wireformat.value;
  const made = reconnecting(addressOf(name), {
    wireformat: FORMATS[name],
    services: { page: { Ping: (data) => data, Measured: (measured) => made === client && show("in", measured) } },
    backoff: { longest: 2_000 }, // somebody is looking
    onConnect: (peer) => peer.remote("here").send("Load", load()),
    onEvent: (event) => made === client && tell(event, name),
  });
  return made;
}

/** What has happened to the connection. */
function tell(event, name) {
  if (event.type === "connected") {
    setState("connected", `connected, ${name}`);
  } else if (event.type === "disconnected") {
    timesLost++;
    setState("lost", "connection lost");
  } else if (event.type === "attemptFailed") {
    setState("lost", `no connection after attempt ${event.attempt}`);
  } else if (event.type === "gaveUp") {
    setState("lost", `no connection: ${event.error.message}`);
  }
}

function setState(state, text) {
  const times = timesLost === 0 ? "" : ` (lost ${timesLost === 1 ? "once" : `${timesLost} times`})`;
  find("#state").dataset.state = state;
  find("#state").textContent = text + times;
  if (state !== "connecting") {
    chart.setLost(state === "lost");
  }
  if (state === "lost") {
    show("in", NOTHING); // Python tells nothing now
  }
}

// -- calls ------------------------------------------------------------------------------------------------------------------

/** What both sides are to call with. */
function load() {
  return { outstanding: isRunning ? Number(controls.outstanding.value) : 0, size: Number(controls.size.value) };
}

/** One call, and its milliseconds. The wait for a connection is not part of it. */
async function call(data, isWanted) {
  const peer = await client.connected();
  if (!isWanted()) {
    return undefined;
  }
  const start = performance.now();
  await peer.remote("here").call("Echo", data, { timeout: 10_000 });
  return performance.now() - start;
}

/** Begin anew, with what is chosen now. */
function apply() {
  find("#run").textContent = isRunning ? "Stop" : "Start";
  document.body.classList.toggle("stopped", !isRunning);
  calling.start(load());
  client.peer?.remote("here").send("Load", load()).catch(() => {}); // if it is lost the next connection begins with it
}

function toggle() {
  isRunning = !isRunning;
  apply();
}

async function changeFormat() {
  const old = client;
  client = connect();
  setState("connecting", "connecting");
  apply();
  await old.close("another wire format was chosen");
}

// -- what is shown ------------------------------------------------------------------------------------------------------------

const cards = { out: find("#page-to-python"), in: find("#python-to-page") };
const totals = { out: { calls: 0, failed: 0 }, in: { calls: 0, failed: 0 } };
const whole = new Intl.NumberFormat("en");

/** What both sides measure, if nothing happens. */
const NOTHING = { calls: 0, failed: 0, seconds: 1, p50: null, p99: null };

function show(direction, { calls, failed, seconds, p50, p99 }) {
  const total = totals[direction];
  total.calls += calls;
  total.failed += failed;
  const put = (what, text) => (cards[direction].querySelector(`[data-what="${what}"]`).textContent = text);
  put("calls", whole.format(total.calls));
  put("failed", whole.format(total.failed));
  if (isRunning) {
    put("p50", inWords(p50));
    put("p99", inWords(p99));
    put("rate", whole.format(Math.round(calls / seconds)));
  }
  if (p50 !== null) {
    chart.add(direction, { at: performance.now(), p50, p99 });
  }
}

/** Milliseconds, with three digits or so. */
function inWords(milliseconds) {
  if (milliseconds === null) {
    return "–";
  }
  return `${milliseconds.toFixed(milliseconds < 1 ? 2 : milliseconds < 100 ? 1 : 0)} ms`;
}

function tick() {
  show("out", calling.take());
  if (isRunning) {
    chart.draw(performance.now());
    const [out, back] = Object.values(cards).map((card) => card.querySelector('[data-what="p50"]').textContent);
    find("#chart").setAttribute("aria-label", `Median latency: page to Python ${out}, Python to page ${back}`);
    Object.assign(find("#chart").dataset, chart.counts);
  }
}

find("#run").addEventListener("click", toggle);
controls.outstanding.addEventListener("change", apply);
controls.size.addEventListener("change", apply);
controls.wireformat.addEventListener("change", changeFormat);
apply();
setInterval(tick, PERIOD);
