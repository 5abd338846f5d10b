"""A bare DEALER in a process of its own. It does what it is told, one line of Python literals at a time, and says what came.

["send", [b"part", ...]]    send a message of these parts
["receive", seconds]        print what comes within that time, or None
["identity", b"name"]       begin again with a socket of this identity
"""

from __future__ import annotations

import ast
import sys

import zmq


def new_socket(context: zmq.Context[zmq.Socket[bytes]], url: str, identity: bytes) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 1000)
    if identity:
        socket.setsockopt(zmq.IDENTITY, identity)
    socket.connect(url.removeprefix("zmq+"))
    return socket


def main() -> None:
    url = sys.argv[1]
    with zmq.Context() as context:
        sockets = [new_socket(context, url, b"")]
        for line in sys.stdin:
            what, value = ast.literal_eval(line)
            answer: object = None
            if what == "send":
                sockets[-1].send_multipart(value)
            elif what == "receive" and sockets[-1].poll(value * 1000):
                answer = sockets[-1].recv_multipart()
            elif what == "identity":
                sockets.append(new_socket(context, url, value))
            print(repr(answer), flush=True)
        for socket in sockets:
            socket.close()


if __name__ == "__main__":
    main()
