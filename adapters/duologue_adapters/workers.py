"""Tasks for handlers, shared by those that don't wait.

No handler may hold up another, so each could have a task of its own. But most handlers never wait, and a task costs more
than all the rest of a small request. So requests that are ready together share one task, which runs them in turn for
as long as none waits. The first that does keeps the task, and another task goes on with the others.

When the connection's time slice is over the rest waits until all else in the event loop has had its turn.

What a handler leaves behind in its context, or does to its task, must not be seen by the next: then, too, another
task goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from operator import is_
from typing import TYPE_CHECKING

from duologue.protocol.connection import Connection
from duologue.protocol.events import IncomingRequest
from duologue.protocol.routes import Route
from duologue_adapters.context import RequestContext, current_request
from duologue_adapters.ports import Engine, Job
from duologue_adapters.time_slice import TimeSlice

if TYPE_CHECKING:
    from duologue_adapters.driver import Driver

FIRST_BATCH, LARGEST_BATCH = 16, 64
"""After so many requests their answers leave."""

Raised = Callable[[IncomingRequest, BaseException], None]
"""What is to be done when a handler has raised something. Raises what is more than its own failure."""

MOST_ROUTES = 1000
"""Handlers that are known to wait."""

_NONE = frozenset[Route]()
"""The handlers of all connections in which none was seen to wait: an empty set has 216 bytes."""

_ALONE = 0
"""In place of the number of a turn: of a worker that runs one request, and has no turn to lose."""


class Workers(ABC):
    """Runs requests that are ready."""

    def __init__(
        self, peer: Driver, engine: Engine, connection: Connection, raised: Raised, time_slice: TimeSlice
    ) -> None:
        self._peer = peer
        self._engine = engine
        self._connection = connection
        self._raised = raised
        self._slice = time_slice
        self._ready: deque[IncomingRequest] = deque()
        self.add: Callable[[IncomingRequest], None] = self._ready.append
        """It is ready: `run_ready` will run it."""
        self._current: IncomingRequest | None = None
        """What the worker whose turn it is runs now."""
        self._turn = 0
        """The number of that worker. One whose handler has waited has lost its turn, and ends with its request."""

    @property
    def has_ready(self) -> bool:
        """Whether a request waits to be run."""
        return bool(self._ready)

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

    async def _work(self, ready: deque[IncomingRequest], turn: int, ends: float) -> None:
        """Run them in turn until `ends`, but one of them in any case.

        The body of this loop is what every request costs, so nothing is called that need not be.

        What is answered leaves in batches. The first are small, so that the other end has something to do while the
        rest is run here: both work at the same time.
        """
        peer, connection, now, raised = self._peer, self._connection, self._engine.now, self._raised
        respond, done = connection.respond, connection.done
        cancel_requests = self._engine.cancel_requests()
        has_variables = len(self._engine.context) > 0
        left = batch = FIRST_BATCH
        while ready:
            request = ready.popleft()
            if request.is_cancelled:
                done(request, now())  # the connection was closed, maybe by a handler that ran before
                peer.touch()
                continue
            if turn:
                self._current = request
            request.peer = peer
            current_request.set(request)
            before = copy_context() if has_variables else None
            route = request.route
            assert route is not None
            context = RequestContext(peer, request) if route.wants_context else None
            try:
                answer = await route.run(request.payload, context, request.cid != 0)
            except BaseException as exc:
                try:
                    raised(request, exc)
                except BaseException:
                    # It holds the task, which is to hold what is raised, which holds this frame.
                    del cancel_requests
                    raise
                at = now()
            else:
                at = now()
                if request.cid:
                    respond(request, answer, at, True)
                else:
                    done(request, at, True)
            if self._turn != turn:
                peer.touch()
                return
            self._current = None
            if cancel_requests() or _has_changed(before):
                peer.touch()
                return
            left -= 1
            if at >= ends:
                if ready and turn:
                    self._slice.note_left()
                peer.push()
                return
            if not left or not ready:
                left = batch = min(2 * batch, LARGEST_BATCH)
                peer.push()


class EagerWorkers(Workers):
    """Where a task's first step is run as it is made: what does not wait has ended when `run_ready` returns, or its time was over."""

    _over_in = 0
    """The time slice that was over while they ran. The rest will be run in the next."""

    def run_ready(self) -> None:
        time_slice = self._slice
        while self._ready and self._over_in != time_slice.number:
            self._turn += 1
            job = self._engine.start(self._work(self._ready, self._turn, time_slice.ends()))
            if job is not None:
                if self._current is not None:
                    self._current.handler = job
                    self._current = None
                self._turn += 1
            if self._ready and time_slice.is_over():
                self._over_in = time_slice.number
                time_slice.pause()


class DeferredWorkers(Workers):
    """Where a task begins later. A look at the worker after its first step tells whether its handler waits.

    Those who wait behind it lose a pass of the loop by that. So handlers that were once seen to wait get a task of
    their own from then on. They may compute before they wait, or not wait at all the next time: when the tasks that begin in
    one pass have used up a slice, the requests of the others are run like those of which nothing is known.
    """

    def __init__(
        self, peer: Driver, engine: Engine, connection: Connection, raised: Raised, time_slice: TimeSlice
    ) -> None:
        super().__init__(peer, engine, connection, raised, time_slice)
        self.add = self._add
        self._job: Job | None = None
        self._has_begun = False
        self._waiting_routes: set[Route] | frozenset[Route] = _NONE
        self._alone_until = 0.0
        """When the time is over of those that begin in tasks of their own in this pass of the loop; 0 if none has begun yet."""

    def _add(self, request: IncomingRequest) -> None:
        if request.route in self._waiting_routes:
            request.handler = self._engine.start(self._run_alone(request))
        else:
            self._ready.append(request)

    async def _run_alone(self, request: IncomingRequest) -> None:
        if not self._alone_until:
            self._alone_until = self._slice.from_now()
            self._engine.call_soon(self._end_pass)
        elif self._engine.now() >= self._alone_until and not request.is_cancelled:
            request.handler = None
            self._slice.note_left()
            self._ready.append(request)
            self.run_ready()
            return
        await self._work(deque((request,)), _ALONE, 0.0)

    def _end_pass(self) -> None:
        self._alone_until = 0.0

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
        # It runs when others may have had their turn since it was started, so it has one of its own.
        await self._work(self._ready, turn, self._slice.from_now())

    def _note_begun(self, job: object) -> None:
        if job is self._job:  # not an earlier one, that has ended only now
            self._has_begun = True

    def _look(self) -> None:
        if not self._has_begun:
            self._engine.call_soon(self._look)
            return
        waiting = self._current
        if waiting is not None and waiting.is_ended:
            waiting = None  # it has ended the process, or the loop
        if waiting is not None:
            waiting.handler = self._job
            if waiting.route is not None:
                self._note_that_waits(waiting.route)
        self._turn += 1
        self._current = self._job = None
        self.run_ready()
        if waiting is not None:
            self._peer.push()  # what was answered before it began to wait

    def _note_that_waits(self, route: Route) -> None:
        routes = self._waiting_routes
        if isinstance(routes, frozenset) or len(routes) >= MOST_ROUTES:
            routes = set[Route]()  # of handlers that came and went; the others will be seen again
            self._waiting_routes = routes
        routes.add(route)


def _has_changed(before: Context | None) -> bool:
    """Whether a handler has left something in the context. None: there was nothing in it but the request."""
    if before is None:
        return len(copy_context()) != 1
    # By identity: two lists may be equal today, and objects may be equal to everything, or to nothing, or fail.
    after = copy_context()
    return len(after) != len(before) or not all(map(is_, after.values(), before.values()))
