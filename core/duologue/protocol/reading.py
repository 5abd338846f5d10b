"""Reading: the decoder, the pause between two frames, the end of stream behind them, and the clock on slow frames (F7)."""

from __future__ import annotations

from duologue.protocol.frames import FrameDecoder
from duologue.protocol.received import ByteAccount


class Reading:
    """What was received and not decoded. While it is paused nothing of it is looked at, and its clock stands still."""

    __slots__ = (
        "_began",
        "_decoder",
        "_frame_timeout",
        "account",
        "cut_short",
        "end_detail",
        "eof_seen",
        "eof_waits",
        "is_hurried",
        "is_paused",
        "is_pressed",
    )

    def __init__(
        self, decoder: FrameDecoder, frame_timeout: float, account: ByteAccount | None = None
    ) -> None:
        self._decoder = decoder
        self._frame_timeout = frame_timeout
        self.account = account
        """What is held here, on behalf of all connections of a server. None if it is bounded for this connection alone."""
        self._began: float | None = None
        """When the first byte came of the frame that is not complete. While reading is paused no frame has begun."""
        self.is_paused = False
        """Whether frames stay undecoded."""
        self.is_pressed = False
        """Whether nothing more is to be read, for want of room at the server (F9). What is here is decoded, and the clock goes on."""
        self.is_hurried = False
        """It may not be paused any more: what is here is all that will ever come."""
        self.eof_waits = False
        """The stream has ended behind frames that are not decoded yet."""
        self.cut_short = ""
        """What is wrong with the end of the stream, if it came without what makes it a clean one."""
        self.end_detail = ""
        """What the transport knows of how the remote ended."""
        self.eof_seen = False
        """The stream has ended, and that has been dealt with."""

    @property
    def decoder(self) -> FrameDecoder:
        """The decoder."""
        return self._decoder

    def pause(self) -> None:
        """Decode no further frame. The time of the next one, if some of it is here, runs from when reading goes on."""
        self.is_paused = True
        self._began = None

    def resume(self) -> None:
        """Go on."""
        self.is_paused = False

    def note_progress(self, completed: bool, now: float) -> None:
        """All that is complete is decoded. If a further frame has begun, its time runs from its first byte."""
        if not self._decoder.is_inside_frame:
            self._began = None
        elif completed or self._began is None:
            self._began = now

    def next_deadline(self) -> float | None:
        """When the frame that has begun is taken for one that never ends."""
        if self._began is None:
            return None
        return self._began + self._frame_timeout

    def describe_rest(self) -> str:
        """How much of a frame is here, for the detail of a reason."""
        have, announced = self._decoder.position()
        return f"{have} of {announced or 'unknown'} bytes of a frame"

    def stop(self) -> None:
        """Decode nothing any more: what comes is dropped."""
        self._decoder.poison()
        self._began = None
        self.is_paused = False
        self.eof_seen = self.eof_seen or self.eof_waits
        if self.account is not None:
            self.account.buffer(0)
