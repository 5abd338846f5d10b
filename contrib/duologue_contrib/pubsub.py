"""Around `PubSub`: its messages as an async iterator, and services by which a remote subscribes (docs/pubsub.md)."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, TypeVar, get_args, overload

import anyio

from duologue import (
    Case,
    Context,
    DuologueError,
    Feed,
    FeedPolicy,
    Message,
    Namespace,
    PubSub,
    Services,
)

M_co = TypeVar("M_co", bound=Message[Any], covariant=True)

# -- messages as an iterator --------------------------------------------------------------------------------


class TooSlow(DuologueError):
    """Messages came faster than they were taken, and the policy is `close`. What waited was given before this is raised."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"over {limit} messages waited to be taken: take them faster, give a larger queue=, or a policy that drops"
        )
        self.limit = limit


class Messages(AsyncIterator[M_co], Generic[M_co]):
    """What is published, as it comes. More than one task may take from it: each message goes to one of them."""

    def __init__(self, queue: int, policy: FeedPolicy) -> None:
        """See `listen`, which makes it."""
        if not queue >= 1:
            raise ValueError(f"queue={queue}: there is room for at least 1 message")
        if policy not in get_args(FeedPolicy):
            raise ValueError(f"policy={policy!r}: give one of {', '.join(get_args(FeedPolicy))}")
        self._limit = queue
        self._policy: FeedPolicy = policy
        self._queue: deque[M_co] = deque()
        self._changed: anyio.Event | None = None
        """Made by whoever waits: publishing costs less without, and need not be in a task."""
        self._has_ended = False
        self._failure: TooSlow | None = None
        self.dropped = 0
        """Messages that were let go since the queue was full."""

    @property
    def waiting(self) -> int:
        """Messages that were published and not taken yet."""
        return len(self._queue)

    def put(self, message: Any) -> None:
        """Let it wait to be taken. Called by `PubSub`; waits for nothing."""
        if self._has_ended:
            return
        if len(self._queue) >= self._limit:
            self.dropped += 1
            match self._policy:
                case "drop_newest":
                    return
                case "drop_oldest":
                    self._queue.popleft()
                case "close":
                    self._failure = TooSlow(self._limit)
                    self.end()
                    return
        self._queue.append(message)
        self._wake()

    def end(self) -> None:
        """Nothing more comes. What waits can still be taken. Ending twice does nothing."""
        self._has_ended = True
        self._wake()

    def __aiter__(self) -> Messages[M_co]:
        return self

    async def __anext__(self) -> M_co:
        """The next message. Ends when `listen`'s block is left, or raises `TooSlow`."""
        while not self._queue:
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            if self._has_ended:
                raise StopAsyncIteration
            if self._changed is None:
                self._changed = anyio.Event()
            await self._changed.wait()
        return self._queue.popleft()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def __repr__(self) -> str:
        return f"<Messages: {self.waiting} waiting, {self.dropped} dropped>"


@overload
def listen(
    pubsub: PubSub, service: type[M_co], /, *, queue: int = 1000, policy: FeedPolicy = "drop_oldest"
) -> AbstractAsyncContextManager[Messages[M_co]]: ...


@overload
def listen(
    pubsub: PubSub,
    /,
    *services: Namespace | type[Message[Any]] | int,
    queue: int = 1000,
    policy: FeedPolicy = "drop_oldest",
) -> AbstractAsyncContextManager[Messages[Message[Any]]]: ...


def listen(
    pubsub: PubSub,
    /,
    *services: Any,
    queue: int = 1000,
    policy: FeedPolicy = "drop_oldest",
) -> Any:
    """Take what is published in this process: `async with listen(ticks) as messages: async for message in messages`.

    Everything that is published while the block runs, or what of `services` is. While messages are not taken, at most
    `queue` of them wait; then the oldest or the newest go (`messages.dropped` counts them), or with the policy `close` the
    iteration raises `TooSlow` after those that wait. It ends when the block is left.

    Raises `ValueError` for a queue without room or an unknown policy; entering raises `RegistrationError` if the services
    are not published there, or are known by id alone.
    """
    return _listening(pubsub, services, Messages[Any](queue, policy))


@asynccontextmanager
async def _listening(
    pubsub: PubSub, services: tuple[Any, ...], messages: Messages[Any]
) -> AsyncGenerator[Messages[Any], None]:
    subscription = pubsub.listen(messages.put, *services)
    try:
        yield messages
    finally:
        subscription.end()
        messages.end()


# -- subscribing from afar ------------------------------------------------------------------------------------


class Subscribed(Case):
    """From now on the caller gets the messages of these services."""

    services: list[str]


class AlreadySubscribed(Case):
    """The caller has subscribed before. Nothing was changed: to have other services unsubscribe first."""


class UnknownServices(Case):
    """Nothing of these names is published here. Nothing was changed."""

    services: list[str]


class Subscribe(Message[Subscribed | AlreadySubscribed | UnknownServices]):
    """Asks for the messages of services, which the caller has to serve itself."""

    services: tuple[str, ...] = ()
    """Names: of services, `ticker::Tick`, or of namespaces, `ticker`. None: everything."""


class Unsubscribed(Case):
    """The caller gets nothing more."""


class NotSubscribed(Case):
    """The caller had not subscribed."""


class Unsubscribe(Message[Unsubscribed | NotSubscribed]):
    """Asks for no more messages."""


subscriptions = Namespace("duologue.pubsub", [Subscribe, Unsubscribe])
"""What `subscription_services` serves."""


def subscription_services(
    pubsub: PubSub,
    *,
    namespace: Namespace = subscriptions,
    queue: int = 1000,
    policy: FeedPolicy = "drop_oldest",
) -> Services:
    """Services by which a remote subscribes itself, and unsubscribes: `serve(url, [ticks, subscription_services(ticks)])`.

    `queue` and `policy` are those of each subscription. Whoever serves several maps gives each a namespace of its own that
    holds `Subscribe` and `Unsubscribe`.

    Raises `RegistrationError` if the namespace does not; `ValueError` for a queue without room, or an unknown policy.
    """
    Feed(queue, policy=policy)  # raises here what it would raise for each who subscribes
    services = Services(namespace)
    names = {sid: pubsub.name_of(sid) for sid in pubsub.sids()}
    meant_by = _meanings(names)

    async def subscribe(msg: Subscribe, ctx: Context) -> Subscribed | AlreadySubscribed | UnknownServices:
        wanted, unknown = _look_up(meant_by, msg.services) if msg.services else (list(names), [])
        if unknown:
            return UnknownServices(unknown)
        if pubsub.subscription_of(ctx.peer) is not None:
            return AlreadySubscribed()
        pubsub.subscribe(ctx.peer, *wanted, queue=queue, policy=policy)
        return Subscribed([names[sid] for sid in wanted])

    async def unsubscribe(msg: Unsubscribe, ctx: Context) -> Unsubscribed | NotSubscribed:
        if pubsub.subscription_of(ctx.peer) is None:
            return NotSubscribed()
        pubsub.unsubscribe(ctx.peer)
        return Unsubscribed()

    services.handler(Subscribe, subscribe)
    services.handler(Unsubscribe, unsubscribe)
    return services


def _meanings(names: dict[int, str]) -> dict[str, list[int]]:
    """The services that each name means: that of a service, or of a namespace. Looked up, since a remote may ask for
    tens of thousands of names in one message.
    """
    meant_by = dict[str, list[int]]()
    for sid, name in names.items():
        parts = name.split("::")
        for count in range(1, len(parts) + 1):
            meant_by.setdefault("::".join(parts[:count]), []).append(sid)
    return meant_by


def _look_up(meant_by: dict[str, list[int]], wanted: tuple[str, ...]) -> tuple[list[int], list[str]]:
    """The ids of the services that are meant, each once, and the names that mean none."""
    found = dict[int, None]()
    unknown = list[str]()
    for each in dict.fromkeys(wanted):
        sids = meant_by.get(each)
        if sids is None:
            unknown.append(each)
        else:
            found.update(dict.fromkeys(sids))
    return list(found), unknown
