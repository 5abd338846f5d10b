"""`when_closed`: whoever wants to know of the end of a connection is told, whatever others do who want to know it, too."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio
import pytest
from tests.adapters.common import Add, Tools, first_peer, tools, until

from duologue import Message, Namespace, Peer, PubSub, ServiceMap, connect, serve


class Tick(Message[None]): ...


ticker = Namespace("ticker", [Tick])


async def test_a_callback_that_fails_harms_nobody(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The others are told, the subscription is removed, the log has it, and the server goes on with its other peers."""
    there, ticks = Tools(), PubSub(ticker)
    told: list[str] = []

    def fail(peer: Peer) -> None:
        told.append("failing")
        raise ValueError("of the user's own")

    def greet(peer: Peer) -> None:
        peer.when_closed(fail)
        peer.when_closed(lambda _: told.append("other"))
        ticks.subscribe(peer)

    services: list[ServiceMap] = [there.services, ticks]
    async with serve(url, services, wireformat="json", on_peer=greet) as server:
        async with connect(server.url, wireformat="json") as staying:
            async with connect(server.url, wireformat="json"):
                await until(lambda: len(ticks.subscriptions) == 2)
            await until(lambda: len(ticks.subscriptions) == 1)
            assert told == ["failing", "other"]
            assert len(list(server.peers)) == 1
            assert await staying.remote(tools).call(Add(a=1, b=2)) == 3
    assert told == ["failing", "other"] * 2
    failures = [record for record in caplog.records if record.name == "duologue"]
    assert [record.levelno for record in failures] == [logging.ERROR] * 2
    assert "was to be told of the end of" in failures[0].getMessage()
    assert "of the user's own" in caplog.text


async def test_one_may_take_back_the_wish_of_another(url: str) -> None:
    """Also while it is told itself: the other hears nothing any more."""
    told: list[str] = []
    async with serve(url, wireformat="json") as server:
        async with connect(server.url, wireformat="json") as peer:
            taking_back: list[Callable[[], None]] = []

            def first(_: Peer) -> None:
                told.append("first")
                taking_back[0]()

            peer.when_closed(first)
            taking_back.append(peer.when_closed(lambda _: told.append("second")))
            peer.when_closed(lambda _: told.append("third"))
        assert told == ["first", "third"]


@pytest.mark.fault(59)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_end_of_the_process_goes_on(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """`KeyboardInterrupt` in a callback ends the loop, and only after the others were told."""
    told: list[bool] = []

    def interrupt(peer: Peer) -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        async with serve("tcp://127.0.0.1:0", wireformat="json") as server:
            async with connect(server.url, wireformat="json"):
                peer = await first_peer(server)
                peer.when_closed(interrupt)
                peer.when_closed(lambda _: told.append(peer.is_open))
            await anyio.sleep_forever()

    caplog.set_level(logging.CRITICAL + 1)
    with pytest.raises(BaseException) as caught:
        anyio.run(main, backend=backend)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert told == [False]
