"""Nothing in the chat grows without end, and nobody who is slow disturbs the others."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from messages import (
    HISTORY,
    LONGEST_KEY,
    LONGEST_NAME,
    LONGEST_TEXT,
    ROOMS,
    ROOMS_EACH,
    Came,
    Join,
    Joined,
    Leave,
    NickSet,
    NickTaken,
    NoNick,
    NotInRoom,
    Refused,
    Rooms,
    Said,
    Say,
    Sent,
    SetNick,
    TooFast,
    TooManyRooms,
    Went,
    chat,
    screen,
)
from rooms import BURST, NAME_RULE, PER_SECOND, TEXT_RULE
from tests.docs.chat.seats import house

from duologue import CloseReason, Limits, Message, RemoteError, Services, connect

WRONG_NAMES = ["", " ", "a b", "a\nb", "a\x1b[2Jb", "/nick", "#room", "a\u202eb", "a" * (LONGEST_NAME + 1)]
WRONG_NAMES += [
    "\u3164",
    "\u2800",
    "\ufe0f",
    "\u0301",
    "\u0301a",
    "\ufe0f\u0301a",
]  # nothing, or nothing of its own, is to be seen


@pytest.mark.parametrize("name", WRONG_NAMES, ids=ascii)
async def test_names_that_are_refused(name: str) -> None:
    """For nicks and rooms alike; nothing has changed then."""
    async with house() as server, server.seat("ada") as ada:
        assert await ada.call(SetNick(name, "")) == Refused(NAME_RULE)
        answer = await ada.call(Join(name))
        assert isinstance(answer, Refused)
        assert await ada.call(Rooms()) == []


@pytest.mark.parametrize(
    "unseen", ["\u034f", "\u115f", "\u180b", "\u2800", "\u3164", "\ufe0f", "\U000e0100"], ids=ascii
)
async def test_nobody_has_a_nick_that_looks_like_anothers(unseen: str) -> None:
    """What is not to be seen makes no other nick of it, wherever it stands. But whoever wants it may have it, as emoji do."""
    async with house() as server, server.seat("zoë"), server.seat() as other:
        for nick in (f"zoë{unseen}", f"{unseen}Zoë", f"zoe{unseen}\u0308"):
            assert await other.call(SetNick(nick, "")) == NickTaken()
        assert await other.call(SetNick(f"❤{unseen}", "")) == NickSet(f"❤{unseen}")


async def test_a_key_is_short() -> None:
    """It is kept for each connection, so it can't be as long as a frame."""
    async with house() as server, server.seat() as somebody:
        assert await somebody.call(SetNick("ada", "k" * LONGEST_KEY)) == NickSet("ada")
        with pytest.raises(RemoteError) as caught:
            await somebody.call(SetNick("bert", "k" * (LONGEST_KEY + 1)))
        assert caught.value.kind == "Deserialize"


async def test_names_that_are_taken() -> None:
    """Of any script, as long as may be. Rooms have no capitals, so that nobody waits in another one of the same name."""
    async with house() as server, server.seat("ada") as ada:
        for nick in ("a" * LONGEST_NAME, "Ζωή", "नमस्ते", "🦊", "O'Neil-2"):
            assert await ada.call(SetNick(nick, "")) == NickSet(nick)
        assert isinstance(await ada.call(Join("straße")), Joined)
        for room in ("Lobby", "ＬＯＢＢＹ", "lobby\u3164", "lob\ufe0fby"):  # noqa: RUF001 - this is what it is about
            assert isinstance(await ada.call(Join(room)), Refused)


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("x" * LONGEST_TEXT, "x" * LONGEST_TEXT),
        (f"  {'x' * LONGEST_TEXT}\n", "x" * LONGEST_TEXT),
        ("two\nlines\t of it", "two lines of it"),
        ("red \x1b[31malert\x07 \u202eback", "red [31malert back"),
        ("<b>👩\u200d🚀</b>", "<b>👩\u200d🚀</b>"),
    ],
    ids=ascii,
)
async def test_texts_that_are_said(text: str, heard: str) -> None:
    """As one line, without what would move a terminal's cursor or turn the direction of writing."""
    async with house() as server, server.seat("ada", "lobby") as ada:
        assert await ada.call(Say("lobby", text)) == Sent()
        assert await ada.hears() == ("ada", heard)


@pytest.mark.parametrize(
    "text", ["", " \n\x00 ", "x" * (LONGEST_TEXT + 1), "\u202e \u202e", "\u200b\u3164"], ids=ascii
)
async def test_texts_that_are_refused(text: str) -> None:
    async with house() as server, server.seat("ada", "lobby") as ada:
        assert await ada.call(Say("lobby", text)) == Refused(TEXT_RULE)
        assert ada.untold == 0


async def test_first_the_nick_then_the_room() -> None:
    """Whoever has none, or is not there, is told so."""
    async with house() as server, server.seat("ada", "lobby"), server.seat() as other:
        assert await other.call(Join("lobby")) == NoNick()
        assert await other.call(Say("lobby", "hello")) == NotInRoom()
        await other.call(SetNick("bert", ""))
        assert await other.call(Say("lobby", "hello")) == NotInRoom()


async def test_the_history_is_short() -> None:
    """Of many lines the last ones are shown, and the longest that there may be arrive."""
    async with house() as server, server.seat("ada", "lobby") as ada, server.seat("bert") as bert:
        for number in range(HISTORY + 10):
            await ada.call(Say("lobby", f"{number:03}{'🦊' * (LONGEST_TEXT - 3)}"))
        joined = await bert.call(Join("lobby"))
        assert isinstance(joined, Joined)
        assert [int(line.text[:3]) for line in joined.history] == list(range(10, HISTORY + 10))


async def test_rooms_are_bounded() -> None:
    """Each member may be in some, and there is a most for all. Rooms that are empty make room for others."""
    async with house() as server, anyio.create_task_group(), server.seat("last") as last:
        assert ROOMS % ROOMS_EACH == 0
        async with server.seat("keeper", *(f"kept-{number}" for number in range(ROOMS_EACH - 1))) as keeper:
            for number in range(ROOMS):  # one after another, each left again
                assert isinstance(await keeper.call(Join(f"room-{number}")), Joined)
                await keeper.call(Leave(f"room-{number}"))
            await keeper.call(Join("the-last-one"))
            assert await keeper.call(Join("one-more")) == TooManyRooms(ROOMS_EACH)
            assert len(await last.call(Rooms())) == ROOMS_EACH
        async with anyio.create_task_group() as group:
            full = anyio.Event()
            members = 0

            async def fill(number: int) -> None:
                nonlocal members
                async with server.seat(
                    f"member-{number}", *(f"{number}-{room}" for room in range(ROOMS_EACH))
                ):
                    members += 1
                    if members == ROOMS // ROOMS_EACH:
                        full.set()
                    await anyio.sleep_forever()

            for number in range(ROOMS // ROOMS_EACH):
                group.start_soon(fill, number)
            await full.wait()
            assert await last.call(Join("another")) == TooManyRooms(ROOMS)
            assert isinstance(await last.call(Join("0-0")), Joined)  # where others are there is room
            group.cancel_scope.cancel()


async def test_nobody_is_faster_than_the_others_can_read() -> None:
    """After a burst a member has to wait, for as long as it is told; asking again and again does not make it longer."""
    now = 1000.0
    async with house(lambda: now) as server, server.seat("ada", "lobby") as ada:
        for _ in range(BURST - 2):  # two were for the nick and the room
            assert await ada.call(Say("lobby", "x")) == Sent()
        for _ in range(3):
            assert await ada.call(Say("lobby", "x")) == TooFast(pytest.approx(1 / PER_SECOND))
        assert isinstance(await ada.call(SetNick("anna", "")), TooFast)
        assert isinstance(await ada.call(Join("garden")), TooFast)
        now += 1 / PER_SECOND + 0.001
        assert await ada.call(Say("lobby", "x")) == Sent()
        assert isinstance(await ada.call(Say("lobby", "x")), TooFast)


@pytest.mark.fault(43)
async def test_a_slow_member_disturbs_nobody() -> None:
    """Row 43: one that takes nothing of what it is told loses the connection, and is told as gone. All others hear each line."""
    lines = 700
    stuck = Services(screen)

    async def never(msg: Message[Any]) -> None:
        await anyio.sleep_forever()

    stuck.handler(Said, never)
    async with house() as server, server.seat("ada", "lobby") as ada, server.seat("bert", "lobby") as bert:
        url = server.url("cbor")
        async with connect(url, stuck, wireformat="cbor", limits=Limits(sends=1)) as slow:
            await slow.remote(chat).call(SetNick("slow", ""))
            await slow.remote(chat).call(Join("lobby"))
            for number in range(lines):
                assert await ada.call(Say("lobby", f"{number} {'🦊' * 490}")) == Sent()
            reason = await slow.wait_closed()
        assert reason is not CloseReason.CLOSED_LOCALLY
        for seat in (ada, bert):
            said, others = list[str](), list[Message[Any]]()
            while len(said) < lines or Went("lobby", "slow") not in others:
                told = await seat.told()
                if isinstance(told, Said):
                    said.append(told.line.text.split()[0])
                else:
                    others.append(told)
            assert said == [str(number) for number in range(lines)]
            assert [each for each in others if not isinstance(each, Came)] == [Went("lobby", "slow")]
