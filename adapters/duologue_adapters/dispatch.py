"""Runs the remote's requests: in a task, in place, or in a thread. What is run, and when, the core has decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from duologue import FailureKind
from duologue.protocol.connection import Connection
from duologue.protocol.events import IncomingRequest
from duologue.protocol.lifecycle import Phase
from duologue.protocol.routes import Mode, RequestFault, Route
from duologue_adapters.context import RequestContext, current_request
from duologue_adapters.engines.endings import end_of_process_in
from duologue_adapters.ports import Engine
from duologue_adapters.relaying import Relayer
from duologue_adapters.time_slice import TimeSlice
from duologue_adapters.workers import DeferredWorkers, EagerWorkers

if TYPE_CHECKING:
    from duologue_adapters.driver import Driver


_TASK, _INLINE, _RELAY = (
    Mode.TASK,
    Mode.INLINE,
    Mode.RELAY,
)  # a member of an enum is slow to look up on some versions


class Dispatcher:
    """Runs the requests of one connection. Each ends with exactly one of `respond`, `fail` and `done`."""

    __slots__ = (
        "_connection",
        "_engine",
        "_now",
        "_peer",
        "_running_threads",
        "_threads",
        "_workers",
        "add",
        "run_ready",
        "time_slice",
    )

    def __init__(self, peer: Driver, engine: Engine, connection: Connection) -> None:
        self._peer = peer
        self._engine = engine
        self._now = engine.now
        self._connection = connection
        self.time_slice = time_slice = TimeSlice(engine, peer.drive)
        """Begins anew whenever requests are about to be started."""
        self._threads = 0
        """How many threads the engine allows for this peer, until it is closed and the last of them has ended."""
        self._running_threads = 0
        self._workers = (EagerWorkers if engine.starts_at_once else DeferredWorkers)(
            peer, engine, connection, self.raised, time_slice
        )
        self.add = self._workers.add
        """Collect a request that runs as a task."""
        self.run_ready = self._workers.run_ready
        """Run the requests that `start` has collected."""

    @property
    def has_ready(self) -> bool:
        """Whether a request was collected that has not begun."""
        return self._workers.has_ready

    def start(self, request: IncomingRequest) -> bool:
        """Run a request, at once or with the next `run_ready`. Says whether others should have their turn now: it ran in place, and
        the time is over.
        """
        route = request.route
        assert route is not None
        mode = route.mode
        if mode is _TASK:
            self.add(request)
        elif request.is_cancelled:
            self.end_cancelled(request)  # an earlier handler has closed the connection
        elif mode is _INLINE:
            self._run_inline(request, route)
            return self.time_slice.is_over()
        elif mode is _RELAY:
            Relayer(self._peer, self._engine, self._connection).start(request)
            return self.time_slice.is_over()
        else:
            if not self._threads:
                self._allow_threads()
            self._running_threads += 1
            request.handler = ThreadRun(self, request, route, self._engine)
        return False

    def _allow_threads(self) -> None:
        """As many as there can be handlers at once: with fewer, those who wait could keep out the one they wait for."""
        budget, limits = self._connection.incoming.budget, self._connection.limits
        self._threads = budget.limit + budget.lent_limit + limits.sends + limits.lent
        self._engine.allow_threads(self._threads)
        self._peer.when_closed(self._look_at_threads)

    def thread_ended(self) -> None:
        """One that was started has really ended, or never began."""
        self._running_threads -= 1
        self._look_at_threads(None)

    def _look_at_threads(self, _: object) -> None:
        # Those that run on when the peer is closed take up the places of nobody else's.
        if self._threads and not self._running_threads and self._connection.phase is Phase.CLOSED:
            self._engine.allow_threads(-self._threads)
            self._threads = 0

    def cancel(self, request: IncomingRequest) -> None:
        """The connection ends: the handler's time is over."""
        if request.is_ended:
            return
        if isinstance(request.handler, ThreadRun):
            request.handler.cancel()
        elif self._workers.remove(request):
            self.end_cancelled(request)
        elif (job := self._workers.job_of(request)) is not None:
            # A task that is cancelled before its first step never gets to say that it has ended.
            job.add_done_callback(lambda _: self.end_cancelled(request))
            job.cancel()

    def context(self, request: IncomingRequest) -> RequestContext:
        """What the handler sees as `ctx`."""
        return RequestContext(self._peer, request)

    def enter(self, request: IncomingRequest) -> None:
        """What runs here and now is the request's."""
        request.peer = self._peer
        current_request.set(request)

    def _run_inline(self, request: IncomingRequest, route: Route) -> None:
        context = RequestContext(self._peer, request) if route.wants_context else None
        variables = self._engine.context.copy()
        end = None
        try:
            answer = variables.run(self._in_place, request, route, context)
        except BaseException as exc:
            self.failed(request, exc)
            # There is no task that could end: a cancellation that comes out of a function is its failure.
            end = end_of_process_in(exc)
        else:
            self.succeeded(request, answer)
        try:
            if end is not None:
                raise end
        finally:
            del end  # its traceback holds this frame

    def succeeded(self, request: IncomingRequest, answer: bytes) -> None:
        """The handler has ended, with this answer."""
        if request.cid:
            self._connection.respond(request, answer, self._now())
        else:
            self._connection.done(request, self._now())
        if not self._peer.is_driving:
            self._peer.touch()

    def raised(self, request: IncomingRequest, exc: BaseException) -> None:
        """The same as `failed`, and what is more than a handler's failure is raised again: in the task that it ends."""
        self.failed(request, exc)
        end = self._engine.end_in(exc)
        try:
            if end is exc:
                raise exc
            if end is not None:
                raise end from exc
        finally:
            # Their tracebacks hold this frame: all that the handler held would stay until the garbage is collected.
            del exc, end

    def _in_place(self, request: IncomingRequest, route: Route, context: RequestContext | None) -> bytes:
        self.enter(request)
        return route.run_sync(request.payload, context, request.cid != 0)

    def failed(self, request: IncomingRequest, exc: BaseException) -> None:
        """The handler has ended, and failed."""
        if isinstance(exc, RequestFault):
            kind, error = exc.kind, exc.__cause__
        else:
            kind, error = FailureKind.HANDLER_FAILED, exc
        self._connection.fail(request, kind, self._now(), error)
        self._peer.touch()

    def end_cancelled(self, request: IncomingRequest) -> None:
        """The handler was cancelled, and has ended or will never begin."""
        if not request.is_ended:
            self._connection.done(request, self._now())
            self._peer.touch()


class ThreadRun:
    """One handler in a worker thread.

    A thread can't be cancelled. It keeps its permit until it has really ended, and says so itself (F8); only one
    that is cancelled before it began has nothing to wait for. Who is first to take the claim decides which it is.
    """

    __slots__ = (
        "_claim",
        "_context",
        "_dispatcher",
        "_engine",
        "_is_over",
        "_job",
        "_request",
        "_result",
        "_route",
    )

    def __init__(
        self, dispatcher: Dispatcher, request: IncomingRequest, route: Route, engine: Engine
    ) -> None:
        self._dispatcher = dispatcher
        self._request = request
        self._route = route
        self._context = dispatcher.context(request) if route.wants_context else None
        self._claim = [None]  # `pop` is atomic
        self._result: bytes | BaseException = b""
        self._is_over = False
        self._engine = engine
        self._job = engine.start(self._run(engine))

    def cancel(self) -> None:
        """Nobody waits for the thread any more."""
        if self._job is not None:
            self._job.add_done_callback(self._cancelled)
            self._job.cancel()

    async def _run(self, engine: Engine) -> None:
        # What the thread calls by way of the loop lends this permit, and not that of whoever let it be started.
        self._dispatcher.enter(self._request)
        try:
            await engine.run_in_thread(self._in_thread, self._ended)
        except BaseException as exc:
            end = engine.end_in(exc)
            if end is None and self._take_claim():
                self._result = exc  # no thread could be started
                self._ended()
            try:
                if end is exc:
                    raise
                if end is not None:
                    raise end from exc
            finally:
                del end  # its traceback holds this frame

    def _in_thread(self) -> None:
        if not self._take_claim():
            return
        request = self._request
        try:
            self._result = self._route.run_sync(request.payload, self._context, request.cid != 0)
        except BaseException as exc:
            self._result = exc

    def _ended(self) -> None:
        self._note_over()
        if self._request.is_ended:
            return
        if not isinstance(self._result, BaseException):
            self._dispatcher.succeeded(self._request, self._result)
            return
        self._dispatcher.failed(self._request, self._result)
        if (end := end_of_process_in(self._result)) is not None:
            self._engine.start(_raise(end))  # here is no task that it could end

    def _cancelled(self, _: object) -> None:
        if self._take_claim():
            self._note_over()
            if not self._request.is_ended:
                self._dispatcher.end_cancelled(self._request)

    def _note_over(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._dispatcher.thread_ended()

    def _take_claim(self) -> bool:
        try:
            self._claim.pop()
        except IndexError:
            return False
        return True


async def _raise(exc: BaseException) -> None:
    raise exc
