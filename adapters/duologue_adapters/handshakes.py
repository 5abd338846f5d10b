"""Handshakes of layers: what stands in a peer's place until one is done, and how a server runs many of them."""

from __future__ import annotations

import logging
from collections.abc import Callable

from duologue_adapters.ports import Engine, Job, LayerError, Link, Listener, Receiver, Waiter

logger = logging.getLogger("duologue")


class Handshake(Receiver):
    """The receiver of a link that is not open. What comes early, right behind the handshake, it keeps for the real one."""

    def __init__(self, done: Waiter) -> None:
        self.done = done
        """Comes when the handshake has ended, well or not."""
        self.is_open = False
        """It has ended well."""
        self.lost = ""
        """Why it has not."""
        self._is_lost = False
        self._early: list[bytes] = []
        self._eof: str | None = None

    def end(self) -> bool:
        """The handshake is done. False if that was known."""
        if self.is_open:
            return False
        self.is_open = True
        self._tell()
        return True

    def pass_on(self, receiver: Receiver) -> None:
        """Here is who was waited for."""
        for piece in self._early:
            receiver.data_received(piece)
        if self._eof is not None:
            receiver.eof_received(self._eof)
        if self._is_lost:
            receiver.connection_lost(self.lost)

    def data_received(self, data: bytes | memoryview) -> None:
        self._early.append(bytes(data))

    def eof_received(self, cut_short: str = "") -> None:
        self._eof = cut_short
        if not self.is_open:
            self._fail("the other end hung up during the handshake")

    def connection_lost(self, detail: str) -> None:
        if self.is_open:
            self._is_lost, self.lost = True, detail
        else:
            self._fail(f"the connection was lost during the handshake: {detail or 'the other end hung up'}")

    def all_written(self) -> None:
        pass

    def _fail(self, text: str) -> None:
        if not self.lost:
            self.lost = text
            self._tell()

    def _tell(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class Handshakes:
    """Those of the links that a server has accepted, beside each other, so that none holds up another.

    Each may take so many seconds. What does not end well is cut, and nobody need know more of it.
    """

    def __init__(
        self,
        engine: Engine,
        listener: Listener,
        seconds: float,
        opened: Callable[[Link], None],
        ended: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._listener = listener
        self._seconds = seconds
        self._opened = opened
        self._ended = ended
        self._jobs: dict[Link, Job | None] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def begin(self, link: Link) -> None:
        """Open a link that was accepted. `opened` is called with what is to be used, and `ended` in any case."""
        self._jobs[link] = None
        timer = self._engine.call_at(self._engine.now() + self._seconds, lambda: self._cut(link))

        def over(_: object) -> None:
            timer.cancel()
            del self._jobs[link]
            self._ended()

        job = self._engine.start(self._open(link))
        if job is None:
            over(None)
        else:
            self._jobs[link] = job
            job.add_done_callback(over)

    def cut_all(self) -> None:
        """End them here and now."""
        for link in tuple(self._jobs):
            self._cut(link)

    def _cut(self, link: Link) -> None:
        link.abort()
        if (job := self._jobs.get(link)) is not None:
            job.cancel()

    async def _open(self, link: Link) -> None:
        try:
            opened = await self._listener.open(link)
        except (LayerError, OSError) as exc:
            # Anyone can send anything to an open port, so that is nothing to fill a log with.
            logger.debug("no handshake with %s: %s", link.address or "a remote", exc)
        except Exception:
            logger.exception("the handshake with %s failed here: the connection is closed", link.address)
            link.abort()
        else:
            self._opened(opened)
