"""What members of the chat do, what becomes of it, and what the others are told."""

from __future__ import annotations

from messages import (
    Came,
    Join,
    Joined,
    Leave,
    Line,
    Member,
    NickSet,
    NickTaken,
    Renamed,
    RoomInfo,
    Rooms,
    Said,
    Say,
    Sent,
    SetNick,
    Went,
)
from tests.docs.chat.seats import Seat, house


async def members(seat: Seat, room: str) -> list[str]:
    joined = await seat.call(Join(room))
    assert isinstance(joined, Joined)
    return [each.nick for each in joined.members]


async def test_all_in_a_room_get_what_is_said() -> None:
    """By either wire format and transport, in the order in which it was said, whoever said it included."""
    async with (
        house() as chat,
        chat.seat("ada", "lobby", wireformat="cbor") as ada,
        chat.seat("bert", "lobby", wireformat="msgpack") as bert,
    ):
        assert await ada.told() == Came("lobby", Member("bert", 1))
        for number in range(20):
            assert await (ada, bert)[number % 2].call(Say("lobby", f"line {number}")) == Sent()
        for seat in (ada, bert):
            assert [await seat.hears() for _ in range(20)] == [
                (("ada", "bert")[number % 2], f"line {number}") for number in range(20)
            ]
        assert await ada.call(Rooms()) == [RoomInfo("lobby", 2)]


async def test_a_nick_that_is_taken_is_an_answer() -> None:
    """Also if it only looks like the other. It is free as soon as its owner has another, or has gone."""
    async with house() as chat, chat.seat("Ada") as ada, chat.seat() as other:
        for nick in ("Ada", "ADA", "ada", "Ａda"):  # noqa: RUF001 - this is what it is about
            assert await other.call(SetNick(nick, "")) == NickTaken()
        assert await ada.call(SetNick("ada", "")) == NickSet("ada")  # one's own may change so
        assert await ada.call(SetNick("anna", "")) == NickSet("anna")
        assert await other.call(SetNick("Ada", "")) == NickSet("Ada")


async def test_a_nick_is_free_when_the_connection_has_ended() -> None:
    async with house() as chat, chat.seat("bert", "lobby") as bert:
        async with chat.seat("ada", "lobby"):
            assert await bert.told() == Came("lobby", Member("ada", 1))
        assert await bert.told() == Went("lobby", "ada")
        assert await bert.call(SetNick("ada", "")) == NickSet("ada")


async def test_who_comes_back_takes_over() -> None:
    """A connection may be dead, and not known to be. Whoever has its key gets its nick; without a key nobody does."""
    async with (
        house() as chat,
        chat.seat("bert", "lobby") as bert,
        chat.seat("ada", "lobby", key="secret") as dead,
        chat.seat(key="secret") as alive,
    ):
        assert await bert.told() == Came("lobby", Member("ada", 1))
        assert await alive.call(SetNick("bert", "")) == NickTaken()
        assert await alive.call(SetNick("ada", "wrong")) == NickTaken()
        assert await alive.call(SetNick("ada", "secret")) == NickSet("ada")
        assert await bert.told() == Went("lobby", "ada")
        assert await members(alive, "lobby") == ["bert", "ada"]
        assert await bert.told() == Came("lobby", Member("ada", 2))
        assert await bert.call(Say("lobby", "welcome back")) == Sent()
        assert await alive.hears() == ("bert", "welcome back")
        assert dead.untold == 0


async def test_a_change_of_nick_is_told_in_all_shared_rooms() -> None:
    """Once for each room that one shares, and not to those who share none. The colour stays."""
    async with (
        house() as chat,
        chat.seat("ada", "lobby", "garden", "attic") as ada,
        chat.seat("bert", "lobby", "garden") as bert,
        chat.seat("carl", "attic") as carl,
        chat.seat("dora", "cellar") as dora,
    ):
        assert await ada.call(SetNick("anna", "")) == NickSet("anna")
        assert [await bert.told() for _ in range(2)] == [
            Renamed("lobby", "ada", "anna"),
            Renamed("garden", "ada", "anna"),
        ]
        assert await carl.told() == Renamed("attic", "ada", "anna")
        assert await ada.call(Say("lobby", "it's me")) == Sent()
        said = await bert.told()
        assert isinstance(said, Said)
        assert said.line.by == Member("anna", 0)
        await dora.call(Rooms())
        assert (bert.untold, carl.untold, dora.untold) == (0, 0, 0)


async def test_leaving_is_told_and_ends_it() -> None:
    """Who has left a room hears nothing more of it, and of the others everything. To leave twice does nothing."""
    async with (
        house() as chat,
        chat.seat("ada", "lobby", "garden") as ada,
        chat.seat("bert", "lobby", "garden") as bert,
    ):
        await bert.call(Leave("lobby"))
        await bert.call(Leave("lobby"))
        came = [await ada.told() for _ in range(3)]
        assert came == [
            Came("lobby", Member("bert", 1)),
            Came("garden", Member("bert", 1)),
            Went("lobby", "bert"),
        ]
        await ada.call(Say("lobby", "alone"))
        await ada.call(Say("garden", "not alone"))
        assert await bert.hears() == ("ada", "not alone")
        assert await members(bert, "lobby") == ["ada", "bert"]


async def test_the_end_of_a_connection_is_told_in_all_its_rooms() -> None:
    async with house() as chat, chat.seat("bert", "lobby", "garden") as bert:
        async with chat.seat("ada", "lobby", "garden") as ada:
            assert [await bert.told() for _ in range(2)] == [
                Came("lobby", Member("ada", 1)),
                Came("garden", Member("ada", 1)),
            ]
            await ada.peer.close()
        assert [await bert.told() for _ in range(2)] == [Went("lobby", "ada"), Went("garden", "ada")]
        assert await members(bert, "lobby") == ["bert"]


async def test_who_joins_is_shown_what_was_said() -> None:
    """The same lines as those who were there have heard; also in a room that all had left. Each is later than the one before."""
    async with house() as chat:
        async with chat.seat("ada", "lobby") as ada:
            for number in range(5):
                await ada.call(Say("lobby", f"line {number}"))
            heard = list[Line]()
            for _ in range(5):
                said = await ada.told()
                assert isinstance(said, Said)
                heard.append(said.line)
        async with chat.seat("bert") as bert:
            joined = await bert.call(Join("lobby"))
        assert isinstance(joined, Joined)
        assert joined.history == heard
        times = [line.at for line in heard]
        assert times == sorted(set(times))
