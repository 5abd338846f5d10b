"""The client in a real browser: calls in both directions, in each wire format, under the policy that docs/browser.md promises."""

from __future__ import annotations

import anyio
import pytest
from tests.browser.pages import Pages
from tests.browser.talking import SOON, talking
from tests.contrib.browser.talk import Blob, Broken, Deep, Double, Note, Unserved, show

from duologue import (
    CallTimeout,
    CloseReason,
    ErrorKind,
    Executed,
    FrameTooLarge,
    Limits,
    RemoteError,
)

MIB = 1024 * 1024


@pytest.fixture(params=["cbor", "msgpack", "json"])
def wireformat(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


VALUES = """
const peer = await peerOf(args[0]);
const values = [
  null, true, 0, -1, 2 ** 53 - 1, 2n ** 64n - 1n, -(2n ** 63n), 0.1, -1.5e300, "ä €😀\\u0000", [], {}, [[[]]], { a: { b: [1, "x", null] }, "": 1 },
  Array.from({ length: 20_000 }, (_, index) => index),
];
if (args[0] !== "json") {
  values.push(Uint8Array.of(0, 255), [NaN, -Infinity]);
}
const told = (value) => JSON.stringify(value, (_, each) => typeof each === "bigint" || Object.is(each, NaN) || each === -Infinity
  ? `${each}` : each instanceof Uint8Array ? ["bytes", ...each] : each);
const wrong = [];
for (const value of values) {
  const back = await calc.call("Mirror", { value });
  if (told(back) !== told(value)) {
    wrong.push([told(value), told(back)]);
  }
}
let isStrict = false;
try {
  setTimeout("document.title = 'run'");
  await new Promise((resolve) => setTimeout(resolve));
  isStrict = document.title !== "run";
} catch {
  isStrict = true;
}
return { wrong, count: values.length, isStrict, closed: await peer.close() };
"""


async def test_values_in_each_wire_format(pages: Pages, wireformat: str) -> None:
    """A page that may run nothing but its own scripts, and no code made of texts, connects, and each value comes back as it went."""
    pages.allow("Content Security Policy")  # of the text that the test tries to run
    async with talking(wireformat) as there, pages.open(there.url) as page:
        told = await page.run(VALUES, wireformat)
        assert told["wrong"] == []
        assert (told["count"], told["isStrict"]) == (15 if wireformat == "json" else 17, True)
        assert (told["closed"]["reason"], told["closed"]["code"]) == ("closed locally", 1000)
        assert await (await there.peer()).wait_closed() is CloseReason.CLOSED_BY_REMOTE


BOTH_WAYS = """
const order = []; // what was answered, in both directions
await peerOf(args[0], { services: { show: { ...services.show, Double({ number }) {
  order.push("in");
  return 2 * number;
} } } });
await until(() => order.length > 0); // the server has begun
const answers = await Promise.all(Array.from({ length: 1000 }, async (_, a) => {
  const answer = await calc.call("Add", { a, b: 1 });
  order.push("out");
  return answer;
}));
await until(() => order.length === 2000);
return {
  right: answers.filter((answer, a) => answer === a + 1).length,
  overlaps: order.indexOf("in") < order.lastIndexOf("out") && order.indexOf("out") < order.lastIndexOf("in"),
};
"""


async def test_a_thousand_calls_each_way_at_once(pages: Pages, wireformat: str) -> None:
    """A page calls Python 1,000 times while Python calls the page 1,000 times: each answer is the right one, none is missing."""
    async with talking(wireformat) as there, pages.open(there.url) as page:
        answers: dict[int, int] = {}

        async def call_the_page() -> None:
            remote = (await there.peer()).remote(show)
            for start in range(0, 1000, 50):  # some at once, so that it takes as long as the page does
                async with anyio.create_task_group() as calls:
                    for number in range(start, start + 50):
                        calls.start_soon(call, remote, number)

        async def call(remote: object, number: int) -> None:
            answers[number] = await remote.call(Double(number))  # type: ignore[attr-defined]

        async with anyio.create_task_group() as group:
            group.start_soon(call_the_page)
            assert await page.run(BOTH_WAYS, wireformat) == {"right": 1000, "overlaps": True}
        assert answers == {number: 2 * number for number in range(1000)}


async def test_one_way_messages(pages: Pages) -> None:
    """A thousand sends each way arrive."""
    async with talking() as there, pages.open(there.url) as page:
        await page.run("await peerOf('cbor')")
        remote = (await there.peer()).remote(show)
        for number in range(1000):
            await remote.send(Note(number))
        await page.run(
            "for (let number = 0; number < 1000; number++) { await calc.send('Note', { number }) }"
        )
        assert await page.run("await calc.call('Add', { a: 0 }); return notes.length") == 1000
        assert sorted(there.talker.notes) == list(range(1000))


MEBIBYTE = """
await peerOf(args[0]);
const text = blob(args[1]);
return {
  same: (await calc.call("Text", text)) === text,
  over: await errorOf(calc.call("Text", text + "x")),
  still: await calc.call("Add", { a: 1 }),
};
"""


@pytest.mark.fault(3, 13)
async def test_frames_of_exactly_the_limit(pages: Pages, wireformat: str) -> None:
    """A frame of a mebibyte passes each way, through a browser's own WebSocket; a byte more is refused where it would be sent, and all goes on."""
    largest = MIB - 24 - (2 if wireformat == "json" else 5)
    async with talking(wireformat) as there, pages.open(there.url) as page:
        told = await page.run(MEBIBYTE, wireformat, largest)
        assert (told["same"], told["still"]) == (True, 1)
        assert (told["over"]["name"], told["over"]["executed"]) == ("FrameTooLarge", "no")
        peer = await there.peer()
        remote = peer.remote(show)
        assert await remote.call(Blob(largest)) == "x" * largest
        pages.allow("show::Blob failed here: FrameTooLarge")
        with pytest.raises(RemoteError) as caught:
            await remote.call(Blob(largest + 1))
        assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR
        with pytest.raises(FrameTooLarge):
            await peer.call_raw(show.sid(Double), bytes(MIB - 24 + 1))
        assert await remote.call(Double(2)) == 4


OUTCOMES = """
const events = [];
const onEvent = ({ kind, service, error }) => events.push([kind, service, error instanceof Error]);
await peerOf("cbor", { onEvent });
globalThis.events = events;
const controller = new AbortController();
const aborted = errorOf(calc.call("Hold", null, { signal: controller.signal }));
const gone = errorOf(calc.call("Hold", null, { signal: AbortSignal.timeout(500) }));
const timeout = await errorOf(calc.call("Hold", null, { timeout: 500 }));
controller.abort(new Error("no longer"));
const never = await errorOf(calc.call("Hold", null, { signal: controller.signal }));
return {
  timeout, never, aborted: await aborted, gone: await gone,
  unknown: await errorOf(calc.call("Nothing")),
  unread: await errorOf(calc.call("Add", { a: "x" })),
  failed: await errorOf(calc.call("Fail")),
  deep: await calc.call("Add", { a: 0, b: -20 }),
};
"""


async def test_how_calls_of_a_page_end(pages: Pages) -> None:
    """Timeouts, `AbortSignal`s of a browser, and errors of each kind: each says whether the handler may have run."""
    async with talking() as there, pages.open(there.url) as page:
        told = await page.run(OUTCOMES)
        words = {
            key: (end["name"], end["kind"], end["executed"]) for key, end in told.items() if key != "deep"
        }
        assert words == {
            "timeout": ("CallTimeout", "Timeout", "unknown"),
            "aborted": ("AbortError", "Aborted", "unknown"),
            "gone": ("AbortError", "Aborted", "unknown"),
            "never": ("AbortError", "Aborted", "no"),
            "unknown": ("RemoteError", "UnknownService", "no"),
            "unread": ("RemoteError", "Deserialize", "no"),
            "failed": ("RemoteError", "InternalServerError", "unknown"),
        }
        assert told["aborted"]["cause"] == "Error: no longer"
        assert told["gone"]["cause"].startswith("TimeoutError")
        assert told["deep"] == 19


HOLD_SID = (
    "return `${duologue.serviceId('show', 'Hold')}`"  # for a handler that the server has no message for
)


async def test_how_calls_to_a_page_end(pages: Pages) -> None:
    """A handler in the page that fails, is not there, gets what it can't read, or takes too long; and one that calls back and forth."""
    async with talking() as there, pages.open(there.url) as page:
        await page.run(
            "globalThis.events = []; await peerOf('cbor', { onEvent: ({ kind, service }) => events.push(`${kind} ${service}`) })"
        )
        peer = await there.peer()
        remote = peer.remote(show)
        for message, kind, executed in (
            (Broken(), ErrorKind.INTERNAL_SERVER_ERROR, Executed.UNKNOWN),
            (Unserved(), ErrorKind.UNKNOWN_SERVICE, Executed.NO),
        ):
            with pytest.raises(RemoteError) as caught:
                await remote.call(message)
            assert (caught.value.kind, caught.value.executed) == (kind, executed)
            assert "secret" not in str(caught.value)
        with pytest.raises(RemoteError) as caught:
            await peer.call_raw(show.sid(Double), b"\xc1")
        assert caught.value.kind is ErrorKind.DESERIALIZE
        with pytest.raises(CallTimeout) as late:
            await peer.call_raw(int(await page.run(HOLD_SID)), b"\xf6", timeout=0.5)
        assert late.value.executed is Executed.UNKNOWN
        assert await remote.call(Deep(20)) == 20
        events = await page.run("return events")
        assert [event.split(" ")[0] for event in events] == ["HandlerFailed", "UnknownService", "Deserialize"]


PRESSURE = """
const levels = [];
const Watched = class extends WebSocket {
  send(data) {
    levels.push(this.bufferedAmount);
    super.send(data);
  }
};
await peerOf("cbor", { WebSocket: Watched });
const data = new Uint8Array(64 * 1024).fill(1);
const answers = await Promise.all(Array.from({ length: 400 }, () => calc.call("Data", { data })));
return { right: answers.filter((answer) => answer === data.length).length, highest: Math.max(...levels) };
"""


async def test_what_a_page_holds_unsent_is_bounded(pages: Pages) -> None:
    """25 MiB of calls at once: the browser's own queue never holds more than the high-water mark, and a frame, as the outbox looks at it."""
    async with talking(limits=Limits(calls=2)) as there, pages.open(there.url) as page:
        told = await page.run(PRESSURE, timeout=60)
        assert told["right"] == 400
        assert told["highest"] <= 256 * 1024 + 64 * 1024 + 1024


async def test_a_handler_that_waits_holds_up_nobody(pages: Pages) -> None:
    """A hundred handlers of the page that never end hold all permits: one-way messages and the page's own calls go on."""
    async with talking() as there, pages.open(there.url) as page:
        await page.run("await peerOf('cbor')")
        peer = await there.peer()
        hold = int(await page.run(HOLD_SID))
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(peer.call_raw, hold, b"\xf6")
            await peer.remote(show).send(Note(7))
            with anyio.fail_after(SOON):
                await page.until("notes.length")
                assert await page.run("return calc.call('Add', { a: 1, b: 2 })") == 3
            group.cancel_scope.cancel()
