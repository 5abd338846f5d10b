"""Tasks for handlers, shared by those that don't wait.

No handler may hold up another, so each could have a task of its own. But most handlers never wait, and a task costs more
than all the rest of a small request. So requests that are ready together share one task, which runs them in turn for
as long as none waits. The first that does keeps the task, and another task goes on with the others.

What a handler leaves behind in its context, or does to its task, must not be seen by the next: then, too, another
task goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from duologue.protocol.events import IncomingRequest
from duologue.protocol.routes import Route
from duologue_adapters.context import current_request
from duologue_adapters.ports import Engine, Job

if TYPE_CHECKING:
    from duologue_adapters.driver import DriverPeer

Run = Callable[[IncomingRequest], Coroutine[Any, Any, None]]
"""Runs one request to its end. The dispatcher's part."""


class Workers(ABC):
    """Runs requests that are ready."""

    def __init__(self, peer: DriverPeer, engine: Engine, run: Run) -> None:
        self._peer = peer
        self._engine = engine
        self._run = run
        self._ready: deque[IncomingRequest] = deque()
        self._current: IncomingRequest | None = None
        """What the worker whose turn it is runs now."""
        self._turn = 0
        """The number of that worker. One whose handler has waited has lost its turn, and ends with its request."""

    def add(self, request: IncomingRequest) -> None:
        """It is ready: `run_ready` will run it."""
        self._ready.append(request)

    @abstractmethod
    def run_ready(self) -> None:
        """Run what is ready, or see to it that it is run soon."""

    def job_of(self, request: IncomingRequest) -> Job | None:
        """What to cancel, to end a request that runs."""
        job: Job | None = request.handler
        return job

    def remove(self, request: IncomingRequest) -> bool:
        """It shall not be run. False if it has begun."""
        if request in self._ready:
            self._ready.remove(request)
            return True
        return False

    async def _work(self, turn: int) -> None:
        ready, run = self._ready, self._run
        cancel_requests = self._engine.cancel_requests()
        while ready:
            self._current = request = ready.popleft()
            current_request.set((self._peer, request))
            before = copy_context()
            await run(request)
            if self._turn != turn:
                return
            self._current = None
            if copy_context() != before or cancel_requests():
                return


class EagerWorkers(Workers):
    """Where a task's first step is run as it is made: what does not wait has ended when `run_ready` returns."""

    def run_ready(self) -> None:
        while self._ready:
            self._turn += 1
            job = self._engine.start(self._work(self._turn))
            if job is not None:
                if self._current is not None:
                    self._current.handler = job
                    self._current = None
                self._turn += 1


class DeferredWorkers(Workers):
    """Where a task begins later. A look at the worker after its first step tells whether its handler waits.

    Those who wait behind it lose a pass of the loop by that. So handlers that were once seen to wait get a task of
    their own from then on.
    """

    def __init__(self, peer: DriverPeer, engine: Engine, run: Run) -> None:
        super().__init__(peer, engine, run)
        self._job: Job | None = None
        self._has_begun = False
        self._waiting_routes: set[Route] = set()

    def add(self, request: IncomingRequest) -> None:
        if request.route in self._waiting_routes:
            request.handler = self._engine.start(self._run_alone(request))
        else:
            self._ready.append(request)

    async def _run_alone(self, request: IncomingRequest) -> None:
        current_request.set((self._peer, request))
        await self._run(request)

    def run_ready(self) -> None:
        if self._ready and self._job is None:
            self._turn += 1
            self._has_begun = False
            self._job = job = self._engine.start(self._begin(self._turn))
            if job is not None:
                job.add_done_callback(
                    self._note_begun
                )  # a task that is cancelled may end without having begun
            self._engine.call_soon(self._look)

    def job_of(self, request: IncomingRequest) -> Job | None:
        return self._job if request is self._current else super().job_of(request)

    async def _begin(self, turn: int) -> None:
        self._has_begun = True
        await self._work(turn)

    def _note_begun(self, job: object) -> None:
        if job is self._job:  # not an earlier one, that has ended only now
            self._has_begun = True

    def _look(self) -> None:
        if not self._has_begun:
            self._engine.call_soon(self._look)
            return
        waiting = self._current
        if waiting is not None:
            waiting.handler = self._job
            if waiting.route is not None:
                self._waiting_routes.add(waiting.route)
        self._turn += 1
        self._current = self._job = None
        self.run_ready()
