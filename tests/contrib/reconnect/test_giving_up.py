"""Where trying again is useless: the client gives up, at once and loudly. And where it is not."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any

import pytest
from tests.adapters.certificates import Certificates, read_to_end, server_in_thread
from tests.adapters.common import (
    Add,
    Hold,
    RawRemote,
    frame,
    raw_server,
    tools,
    until,
)
from tests.contrib.reconnect.stage import FastTime, Seen, connected_again, new_url, stage

from duologue import (
    CloseReason,
    ConnectFailed,
    ConnectionClosed,
    ConnectionLost,
    EncodeError,
    Executed,
    FrameTooLarge,
    HandshakeTimeout,
    Peer,
    PluginError,
    ProtocolError,
    RegistrationError,
    serve,
)
from duologue_contrib.reconnect import (
    AttemptFailed,
    Backoff,
    Connected,
    ConnectionEnded,
    Disconnected,
    GaveUp,
    ReconnectFailed,
    is_permanent,
    reconnecting,
)

ERRORS: list[tuple[Exception, bool]] = [
    (ConnectFailed("mem://x", "nobody"), False),
    (ConnectFailed("mem://x", "never", is_permanent=True), True),
    (HandshakeTimeout("mem://x", 1), False),
    *(
        (kind, reason in (CloseReason.PROTOCOL_ERROR, CloseReason.REFUSED))
        for reason in CloseReason
        for kind in (
            ConnectionEnded(reason),
            ConnectionLost(reason, Executed.UNKNOWN),
            ConnectionClosed(reason),
        )
    ),
    (ConnectionEnded(CloseReason.CLOSED_BY_REMOTE, "", "DeserializeWireFormat"), True),
    (ProtocolError("x"), True),
    (FrameTooLarge(5, 4), True),
    (PluginError("x"), True),
    (RegistrationError("x"), True),
    (EncodeError("x"), False),
    (ValueError("x"), False),
]


@pytest.mark.parametrize(("error", "expected"), ERRORS, ids=lambda value: repr(value))
def test_which_errors_are_for_good(error: Exception, expected: bool) -> None:
    """By their data, not by their text."""
    assert is_permanent(error) is expected


async def gave_up(url: str, seen: Seen, caplog: pytest.LogCaptureFixture, **options: Any) -> ReconnectFailed:
    """A client that is left alone until it gives up, which is then known everywhere."""
    async with reconnecting(
        url, wireformat="json", first="later", on_event=seen, clock=FastTime().clock, **options
    ) as client:
        with pytest.raises(ReconnectFailed) as caught:
            await client.wait_closed()
        with pytest.raises(ReconnectFailed):
            await client.remote(tools).call(Add(a=1, b=2))
        assert client.peer is None
    assert isinstance(seen.events[-1], GaveUp)
    assert seen.events[-1].error is caught.value.error
    assert seen.events[-2].next_in is None  # type: ignore[union-attr]
    last = caplog.records[-1]
    assert (last.name, last.levelno) == ("duologue.reconnect", logging.ERROR)
    assert "gave up" in last.getMessage()
    return caught.value


# -- connecting -------------------------------------------------------------------------------------------


@pytest.mark.fault(70)
async def test_a_server_that_is_not_who_it_should_be(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """The certificate is for another name: one attempt, and no more."""
    seen = Seen()
    async with serve("tls://127.0.0.1:0", wireformat="json", **certificates.elsewhere) as server:
        error = await gave_up(server.url, seen, caplog, ca=certificates.ca_file)
    assert seen.names == ["Connecting", "AttemptFailed", "GaveUp"]
    assert "not for '127.0.0.1'" in str(error)


async def test_a_server_that_has_become_another(certificates: Certificates) -> None:
    """The first connection was good. Its successor at the same address is a stranger: the client gives up, and the calls
    that waited for it know why.
    """
    seen = Seen()
    async with stage("tls://127.0.0.1:0", **certificates.server) as there:
        async with reconnecting(
            there.url, wireformat="json", on_event=seen, clock=FastTime().clock, ca=certificates.ca_file
        ) as client:
            assert await client.remote(tools).call(Add(a=1, b=2)) == 3
            there.options = certificates.stranger
            await there.stop()
            await there.start()
            with pytest.raises(ReconnectFailed, match="signed by nobody who is trusted here"):
                await client.remote(tools).call(Add(a=1, b=2))
    assert isinstance(seen.of(AttemptFailed)[-1].error, ConnectFailed)


@pytest.mark.parametrize("scheme", ["tls", "wss"])
async def test_a_client_that_is_refused(
    certificates: Certificates, caplog: pytest.LogCaptureFixture, scheme: str
) -> None:
    """The server does not accept this end's certificate. With TLS 1.3 the client learns it after its handshake, so there is
    a connection for a moment with `tls`: its end says that it was refused, and that is enough.
    """
    seen = Seen()
    options: dict[str, Any] = {"client_ca": certificates.ca_file, **certificates.server}
    if scheme == "wss":
        options["origins"] = []
    async with serve(f"{scheme}://127.0.0.1:0", wireformat="json", **options) as server:
        error = await gave_up(server.url, seen, caplog, ca=certificates.ca_file, **certificates.stranger)
    assert seen.attempts == 1
    if scheme == "tls":
        assert seen.names == ["Connecting", "Connected", "Disconnected", "GaveUp"]
        assert seen.of(Disconnected)[0].reason is CloseReason.REFUSED
    else:
        assert isinstance(error.error, ConnectFailed)
    assert "does not accept this end's certificate" in str(error)


async def test_a_web_server_that_forbids(caplog: pytest.LogCaptureFixture) -> None:
    """403: for good. (A client that is no browser names no origin, so a proxy says this, and not our server.)"""

    def talk(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        read_to_end(sock)

    seen = Seen()
    async with server_in_thread(talk) as url:
        error = await gave_up(url.replace("tls", "ws"), seen, caplog)
    assert seen.attempts == 1
    assert "403 Forbidden" in str(error)


async def test_a_key_that_is_not_authorized(caplog: pytest.LogCaptureFixture) -> None:
    """ZeroMQ: the server lets other keys in."""
    zmq = pytest.importorskip("zmq")
    (there, secret), (here, own), (other, _) = (zmq.curve_keypair() for _ in range(3))
    seen = Seen()
    async with serve(
        "zmq+tcp://127.0.0.1:0",
        wireformat="json",
        public_key=there,
        secret_key=secret,
        authorized_keys=[other],
    ) as server:
        keys = {"server_key": there, "public_key": here, "secret_key": own}
        error = await gave_up(server.url, seen, caplog, **keys)
    assert seen.names == ["Connecting", "AttemptFailed", "GaveUp"], seen.events
    assert "does not authorize this end's key" in str(error)


async def test_a_url_that_means_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It will never mean more."""
    seen = Seen()
    await gave_up("tcp://127.0.0.1", seen, caplog)
    assert seen.attempts == 1


async def test_nobody_there_is_no_reason(caplog: pytest.LogCaptureFixture) -> None:
    """It tries on, for as long as it is let; then it says so, too."""
    seen = Seen()
    await gave_up(new_url(), seen, caplog, backoff=Backoff(max_attempts=20))
    assert seen.attempts == 20


async def test_the_program_may_know_better() -> None:
    """`gives_up` decides, for all that happens: here, never."""
    seen, time = Seen(), FastTime()
    async with reconnecting(
        "tcp://127.0.0.1",
        wireformat="json",
        first="later",
        on_event=seen,
        clock=time.clock,
        gives_up=lambda error: False,
    ):
        await until(lambda: seen.attempts > 3)


# -- a connection that is up --------------------------------------------------------------------------------


async def garbage(raw: RawRemote) -> None:
    """What is not the protocol."""
    await raw.send(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(64))


async def report(raw: RawRemote) -> None:
    """What a remote says that can't understand this end, and then it hangs up."""
    await raw.send(frame(0, 0, b'{"DeserializeWireFormat":{"context":"a frame of 3 bytes"}}'))
    raw.end_writing()


async def unreadable(raw: RawRemote) -> None:
    """The same in a wire format that is not ours."""
    await raw.send(frame(0, 0, b"\xa1\xff"))
    raw.end_writing()


@pytest.mark.parametrize(
    ("say", "text"),
    [
        (garbage, "protocol error"),
        (report, "the remote can't understand this end: DeserializeWireFormat: a frame of 3 bytes"),
        (unreadable, "the remote can't understand this end: Unreadable"),
    ],
)
async def test_two_ends_that_do_not_speak_the_same(
    say: Callable[[RawRemote], Any], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever end finds out: the connection was there, and it is no use to make it again."""
    seen = Seen()

    async with raw_server() as (url, accept):
        async with reconnecting(url, wireformat="json", on_event=seen, clock=FastTime().clock) as client:
            raw = await accept()
            await say(raw)
            with pytest.raises(ReconnectFailed) as caught:
                await client.wait_closed()
            assert client.peer is None
    assert text in str(caught.value)
    assert isinstance(caught.value.error, ConnectionEnded)
    assert seen.names == ["Connecting", "Connected", "Disconnected", "GaveUp"]
    assert caplog.records[-1].levelno == logging.ERROR


async def test_a_protocol_error_while_on_connect_is_at_work() -> None:
    """What the hook makes of it is told, and the reason of the connection's end decides."""
    seen = Seen()

    async def log_in(peer: Peer) -> None:
        raw = await accept()
        await report(raw)
        await peer.remote(tools).call(Hold())

    async with raw_server() as (url, accept):
        async with reconnecting(
            url, wireformat="json", first="later", on_connect=log_in, on_event=seen, clock=FastTime().clock
        ) as client:
            with pytest.raises(ReconnectFailed):
                await client.wait_closed()
    assert seen.names == ["Connecting", "AttemptFailed", "GaveUp"]
    assert isinstance(seen.of(AttemptFailed)[0].error, ConnectionLost)


async def test_an_error_that_was_reported_long_ago() -> None:
    """The remote could not understand something, and went on; that it ends later is a loss like any other."""
    seen = Seen()
    async with raw_server() as (url, accept):
        async with reconnecting(url, wireformat="json", on_event=seen, clock=FastTime().clock) as client:
            raw = await accept()
            before = client.peer
            await raw.send(frame(0, 0, b'{"UnknownService":{"sid":null,"cid":null}}'))
            await raw.send(frame(0, 0, b'{"DeserializeWireFormat":{"context":"x"}}'))
            await raw.send(frame(0, 0, b'{"UnknownService":{"sid":null,"cid":null}}'))
            raw.end_writing()
            await accept()
            await connected_again(client, before)
    assert "GaveUp" not in seen.names


@pytest.mark.parametrize("how", ["end", "cut short", "reset"])
async def test_a_connection_that_breaks_is_no_reason(how: str) -> None:
    """A clean end, an end within a frame, a reset: it connects again."""
    seen = Seen()
    async with raw_server() as (url, accept):
        async with reconnecting(url, wireformat="json", on_event=seen, clock=FastTime().clock) as client:
            raw, before = await accept(), client.peer
            match how:
                case "end":
                    raw.end_writing()
                case "cut short":
                    await raw.send(b"\x40")
                    raw.end_writing()
                case _:
                    raw.reset()
            await accept()
            await connected_again(client, before)
    (lost,) = seen.of(Disconnected)
    assert (
        lost.reason
        is {
            "end": CloseReason.CLOSED_BY_REMOTE,
            "cut short": CloseReason.TRUNCATED,
            "reset": CloseReason.TRANSPORT_FAILED,
        }[how]
    )
    assert len(seen.of(Connected)) == 2
