"""ZeroMQ by its library's own asyncio interface, a message for each call: what the library's `zmq+tcp://` is compared to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import zmq
import zmq.asyncio

from benchmarks.cases import FOR_TRANSPORTS
from benchmarks.runtimes import Runtime
from benchmarks.subjects.base import HOST, Subject
from benchmarks.subjects.correlated import CorrelatingClient, Handlers, codecs_of


class _Client(CorrelatingClient):
    def __init__(self, runtime: Runtime, codecs: list[tuple[Any, Any]], socket: zmq.asyncio.Socket) -> None:
        super().__init__(runtime, codecs)
        self._socket = socket

    async def send(self, message: bytes) -> None:
        await self._socket.send(message)

    async def read(self) -> None:
        receive = self._socket.recv
        while True:
            self.receive(await receive())


class ZeroMQEcho(Subject):
    """A ROUTER, and a DEALER that calls it."""

    cases = FOR_TRANSPORTS

    def __init__(self, runtime: Runtime, wireformat: str) -> None:
        super().__init__(runtime)
        self._codecs = codecs_of(wireformat)

    async def serve(self, ready: Callable[[str], None]) -> None:
        answer_to = Handlers(self._codecs).answer
        with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as socket:
            socket.bind(f"tcp://{HOST}:0")
            ready(socket.getsockopt_string(zmq.LAST_ENDPOINT))
            while True:
                identity, message = await socket.recv_multipart()
                answer = answer_to(message)
                if answer is not None:
                    await socket.send_multipart([identity, answer])

    @asynccontextmanager
    async def connect(self, address: str) -> AsyncIterator[_Client]:
        with zmq.asyncio.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.connect(address)
            client = _Client(self.runtime, self._codecs, socket)
            reader = asyncio.create_task(client.read())
            try:
                yield client
            finally:
                reader.cancel()
                await asyncio.wait([reader])


def make(runtime: Runtime, wireformat: str) -> Subject:
    """The subject, in the wire format that the run asks for; without its codec it can't run."""
    return ZeroMQEcho(runtime, wireformat)
