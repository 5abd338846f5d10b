"""Rows about those who should not be let in, or be trusted."""

from __future__ import annotations

from anyio import connect_tcp
from anyio.streams.buffered import BufferedByteReceiveStream

from duologue import ConnectFailed, connect
from duologue_contrib.demo.parallel import Endings, in_parallel
from duologue_contrib.demo.rows import Outcome, Row, expect
from duologue_contrib.demo.stage import Stage

COUNT = 20
AT_ONCE = 5

HOST = "127.0.0.1"


def trust_rows() -> list[Row]:
    """Both."""
    section = "Not to be trusted: refused in the handshake, before any message"
    return [
        Row("tls, a certificate that nobody vouches for", untrusted_server, section, "tls"),
        Row("ws, a web page that has no business here", foreign_page, section, "ws"),
    ]


async def untrusted_server(stage: Stage) -> Outcome:
    """The server of the rows above, but this client was not given its certificate."""
    url = stage.url_of("tls")
    endings = Endings()

    async def try_it() -> None:
        async with connect(url, wireformat="json"):
            pass

    async def once(number: int) -> None:
        await endings.note(try_it())

    stage.progress.begin("handshakes", COUNT, endings)
    seconds = await in_parallel(COUNT, AT_ONCE, once, stage.progress.step)
    expect(endings.counts == {"ConnectFailed": COUNT}, f"{COUNT} ConnectFailed", str(endings))
    error = endings.last
    assert isinstance(error, ConnectFailed)
    reason = "is signed by nobody who is trusted here"
    expect(reason in str(error), f"an error that says that the certificate {reason}", error)
    return Outcome(f"{endings}: the certificate {reason}", COUNT, seconds, "tries")


async def foreign_page(stage: Stage) -> Outcome:
    """What a browser sends for a page of another origin, by which it could reach into the user's own machine."""
    address = stage.url_of("ws").removeprefix("ws://")
    port = int(address.rpartition(":")[2])
    request = (
        f"GET / HTTP/1.1\r\nHost: {address}\r\nOrigin: https://evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    endings = Endings()

    async def once(number: int) -> None:
        async with await connect_tcp(HOST, port) as stream:
            await stream.send(request.encode())
            line = await BufferedByteReceiveStream(stream).receive_until(b"\r\n", 1024)
        endings.count(line.decode())

    stage.progress.begin("handshakes", COUNT, endings)
    seconds = await in_parallel(COUNT, AT_ONCE, once, stage.progress.step)
    expected = "HTTP/1.1 403 Forbidden"
    expect(endings.counts == {expected: COUNT}, f"{COUNT} {expected}", str(endings))
    return Outcome(f"{endings}: it is not among the origins= that may", COUNT, seconds, "tries")
