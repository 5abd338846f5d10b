"""`zmq+tcp://`, `zmq+ipc://`, `zmq+inproc://`: a plug-in, which has no name of its own for users (docs/adapters.md)."""

__all__: list[str] = []
