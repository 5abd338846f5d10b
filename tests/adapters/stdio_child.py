"""A process that speaks over its standard input and output, and does what it is told: prints, reads, ends, hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any, cast

import anyio
import anyio.lowlevel
from tests.adapters.common import Add, Hold, Tools, tools

from duologue import Context, Limits, Message, Namespace, Services, connect


class Do(Message[str]):
    """Its handler does what is named."""

    what: str
    number: int = 0


deeds = Namespace("deeds", [Do])


class Child(Tools):
    def __init__(self) -> None:
        super().__init__()
        self.services = Services(tools, deeds)
        for handler in (self.add, self.echo, self.say, self.hold, self.fail, self.do):
            self.services.handler(cast("Any", handler))

    async def do(self, msg: Do, ctx: Context) -> str:
        match msg.what:
            case "print":
                print("printed in the block")
                run("echo printed by a child of it")
            case "read":
                return repr(sys.stdin.read()) + repr(run("cat", stdout=subprocess.PIPE))
            case "call back":
                return str(await ctx.peer.remote(tools).call(Add(a=msg.number, b=1)))
            case "hold":
                return await ctx.peer.remote(tools).call(Hold(name="from the child"))
            case "close":
                await ctx.peer.close("enough", grace=30)  # in a handler this returns as soon as it has begun
                self.release.set()
            case "exit in a while":
                for _ in range(10):
                    await anyio.lowlevel.checkpoint()
                os._exit(msg.number)
            case "say and leave":
                await ctx.peer.remote(tools).send(Hold(name="from a child that has left"))
                await ctx.peer.close()
            case "exit":
                os._exit(msg.number)
            case "stay":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            case _:
                raise ValueError(msg.what)
        return ""


def run(command: str, **options: Any) -> str:
    """A child of this child, which has its standard input and output unless it is said otherwise."""
    return str(subprocess.run(command.split(), check=True, text=True, **options).stdout)


async def main() -> None:
    child = Child()
    limits = Limits(calls=2000, eof_grace=float(sys.argv[3]))
    print("printed before the block")  # and still in a buffer when it begins
    async with connect("stdio:", child.services, wireformat="msgpack", limits=limits) as peer:
        reason = await peer.wait_closed()
    print("printed after the block:", reason.value)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        while True:
            signal.pause()


if __name__ == "__main__":
    options: dict[str, Any] = {"use_uvloop": True} if sys.argv[2] == "uvloop" else {}
    anyio.run(main, backend=sys.argv[1], backend_options=options)
