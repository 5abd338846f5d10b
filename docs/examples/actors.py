"""A bank whose accounts are actors: one for each number, made at first use, called from here and over TCP alike.

Run it by `python docs/examples/actors.py`, or on trio by `python docs/examples/actors.py trio`.
"""

from __future__ import annotations

import logging
import sys

import anyio

from duologue import CallError, Message, Namespace, connect, serve
from duologue_contrib.actors import Actor, Address, Restart, Resume, actor_scope, handles, services


class Deposit(Message[int]):
    """Answered with the new balance."""

    account: str
    amount: int


class Move(Message[None]):
    """From one account to another."""

    account: str
    to: str
    amount: int


class Report(Message[str]):
    """What the clerk is asked for."""


bank = Namespace("bank", [Deposit, Move])


class Account(Actor):
    """One account. Nothing else touches its balance, and it handles one message at a time: there is no lock to forget."""

    def __init__(self, account: str, accounts: Address) -> None:
        self.account = account
        self.accounts = accounts
        self.balance = 0

    @handles
    async def deposit(self, msg: Deposit) -> int:
        if self.balance + msg.amount < 0:
            raise ValueError(f"{msg.account} has only {self.balance}")
        self.balance += msg.amount
        return self.balance

    @handles
    async def move(self, msg: Move) -> None:
        await self.deposit(Deposit(msg.account, -msg.amount))
        await self.accounts.call(Deposit(msg.to, msg.amount))


class Clerk(Actor):
    """Fails at the third report. Whoever keeps calling does not notice more than one failed call."""

    def __init__(self) -> None:
        self.reports = 0

    @handles
    async def report(self, msg: Report) -> str:
        self.reports += 1
        assert self.reports < 3, "out of paper"
        return f"report {self.reports}"


async def save(accounts: Address) -> None:
    """It can't know whether the accounts are in this process."""
    for amount in (10, 20, 30):
        print("anna has", await accounts.call(Deposit("anna", amount)))
    await accounts.call(Move("anna", "bert", 15))
    try:
        await accounts.call(Deposit("bert", -1000))
    except CallError as error:
        print("bert can't pay:", error)
    print("bert has", await accounts.call(Deposit("bert", 0)))


async def main() -> None:
    """The whole play."""
    async with actor_scope() as actors:

        def open_account(account: str) -> Account:
            return Account(account, accounts)

        # A refused deposit has changed nothing, so the account goes on after it.
        accounts = actors.keyed(open_account, key="account", limit=1000, idle=300, failure=Resume())
        print("-- in this process")
        await save(accounts)
        await accounts.stop("anna")

        print("-- over TCP")
        async with (
            serve("tcp://127.0.0.1:0", services(bank, accounts), wireformat="json") as server,
            connect(server.url, wireformat="json") as peer,
        ):
            await save(peer.remote(bank))
        print("open accounts:", *sorted(accounts))

        print("-- a clerk who is replaced")
        clerk = await actors.start(Clerk, failure=Restart(limit=3, within=60))
        for _ in range(5):
            try:
                print(await clerk.call(Report()))
            except CallError as error:
                print("no report:", error, "since", repr(error.__cause__))


if __name__ == "__main__":
    logging.getLogger("duologue").setLevel(logging.CRITICAL)  # failures are part of the play
    anyio.run(main, backend=sys.argv[1] if len(sys.argv) > 1 else "asyncio")
