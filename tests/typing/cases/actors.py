"""What the type checkers know about actors: an address is an address, wherever the actor is. Nothing here is run."""

from __future__ import annotations

import functools
from typing import assert_type

from duologue import Message, Namespace, Peer, Remote, Services
from duologue_contrib.actors import (
    Actor,
    Address,
    Keyed,
    LocalAddress,
    Restart,
    Stop,
    StopReason,
    actor_scope,
    handles,
    services,
)


class Deposit(Message[int]):
    account: str
    amount: int


class Close(Message[None]):
    account: str


class Account(Actor):
    def __init__(self, account: str, balance: int = 0) -> None:
        self.account = account
        self.balance = balance

    @handles
    async def deposit(self, msg: Deposit) -> int:
        self.balance += msg.amount
        return self.balance

    @handles(Close, cancellable=True)
    async def close(self, msg: Close) -> None:
        assert_type(msg.account, str)
        assert_type(self.address, LocalAddress)


bank = Namespace("bank", [Deposit, Close])


async def pay(address: Address) -> int:
    """Does not know where the account is."""
    await address.send(Close("a"), timeout=1.0)
    assert_type(await address.call(Close("a"), timeout=None), None)
    return await address.call(Deposit("a", 1))


async def every_address_is_one(local: LocalAddress, remote: Remote, many: Keyed[str], peer: Peer) -> None:
    for address in (local, remote, many, peer.remote(bank)):
        assert_type(await pay(address), int)
        assert_type(services(bank, address), Services)
    assert_type(await local.call(Deposit("a", 1)), int)
    assert_type(await many.call(Deposit("a", 1)), int)
    assert_type(await local.wait_stopped(), StopReason)


async def a_scope_makes_addresses() -> None:
    async with actor_scope(rest="drain") as actors:
        one = await actors.start(lambda: Account("a"), failure=Restart(limit=3, within=60, then=Stop()))
        assert_type(one, LocalAddress)
        await one.stop("drop")
        many = actors.keyed(Account, key="account", limit=10, idle=60)
        assert_type(many, Keyed[str])
        assert_type(many.address_of("a"), LocalAddress | None)
        richer: Keyed[str] = actors.keyed(functools.partial(Account, balance=5), key="account", limit=10)
        assert_type(await richer.call(Deposit("a", 1)), int)


async def a_marked_method_is_still_the_method(account: Account) -> None:
    assert_type(await account.deposit(Deposit("a", 1)), int)
    assert_type(await account.close(Close("a")), None)
