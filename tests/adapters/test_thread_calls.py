"""Handlers in threads that call back by way of the event loop (docs/flow.md, F1)."""

from __future__ import annotations

import anyio.from_thread

from duologue import CallBudget, Context, Message, Namespace, Services, connect, serve


class Double(Message[int]):
    number: int


class Through(Message[int]):
    number: int


back = Namespace("back", [Through])
calc = Namespace("calc", [Double, Through])


async def test_a_thread_that_calls_back_lends_its_own_permit() -> None:
    """One permit, held by a handler in a thread, that waits for a call which needs that permit: it is lent meanwhile."""
    here, there = Services(calc), Services(back)

    @here.handler(inline=True)
    def double(msg: Double) -> int:
        return 2 * msg.number

    @here.handler
    def through(msg: Through, ctx: Context) -> int:
        return anyio.from_thread.run(ctx.peer.remote(back).call, msg)

    @there.handler
    async def again(msg: Through, ctx: Context) -> int:
        return await ctx.peer.remote(calc).call(Double(msg.number))

    budget = CallBudget(1)
    async with (
        serve("mem://thread-calls", here, wireformat="json", budget=budget) as server,
        connect(server.url, there, wireformat="json") as peer,
    ):
        assert await peer.remote(calc).call(Through(21), timeout=10) == 42
    assert (budget.in_use, budget.lent) == (0, 0)
