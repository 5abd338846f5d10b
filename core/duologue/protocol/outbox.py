"""The outbox: frames on their way to the transport, in order, with a level that callers and the gate can look at.

The driver takes what is here only after the transport has taken all it was given before. So the level, which counts
what was handed out and not yet taken as well, is the truth about what waits, and nothing hides in a transport's buffer.
"""

from __future__ import annotations

JOIN_LIMIT = 16 * 1024
"""Up to this size header and payload leave as one piece of memory; over it the payload is not copied again."""

HAND_OUT = 256 * 1024
"""At most so many bytes are handed out at once, unless one frame is larger: so that a slow link shows its progress."""

# What stands in `_tags` beside each buffer; the frame of an own call has its id, which is positive.
_SEND = 0
_ANSWER = -1
_REFUSAL = -2
_CONTINUED = -3


class Outbox:
    """Bytes to send. Frames of own calls can be taken out again until they are handed out."""

    __slots__ = (
        "_answers_out",
        "_buffers",
        "_high",
        "_out",
        "_tags",
        "answers",
        "gated_since",
        "last_call_out",
        "level",
        "progress_at",
        "refusals",
    )

    def __init__(self, high_water: int) -> None:
        self._high = high_water
        self._buffers: list[bytes] = []
        self._tags: list[int] = []
        self._out = 0
        self._answers_out = 0
        self.level = 0
        """Bytes that the transport has not taken."""
        self.answers = 0
        """Those of them that are answers to the remote's calls, refusals included."""
        self.refusals = 0
        """Those of them that refuse a call for want of room, and are not handed out."""
        self.gated_since: float | None = None
        """Since when the answers are over the high-water mark, and nothing new is answered; None if they are not."""
        self.progress_at = 0.0
        """When the transport last took something, or when the outbox last was empty."""
        self.last_call_out = 0
        """The id of the last own call whose frame was handed out. Ids rise on the wire, so this tells for each."""

    def put_answer(self, header: bytes, payload: bytes, now: float) -> None:
        """Queue an answer. Never refused: the one who answers holds a permit until it is here."""
        # All that `put_request` does, once more: of these two, each message costs one.
        if not self.level:
            self.progress_at = now
        size = len(header) + len(payload)
        if len(payload) <= JOIN_LIMIT:
            self._buffers.append(header + payload)
            self._tags.append(_ANSWER)
        else:
            self._buffers += (header, payload)
            self._tags += (_ANSWER, _CONTINUED)
        self.level += size
        self.answers += size
        if self.answers > self._high and self.gated_since is None:
            self.gated_since = now

    def put_refusal(self, header: bytes, payload: bytes, now: float) -> None:
        """Queue the answer to a call that found no room."""
        before = self.level
        self.put_request(_REFUSAL, header, payload, now)
        self.answers += self.level - before
        self.refusals += self.level - before
        if self.answers > self._high and self.gated_since is None:
            self.gated_since = now

    def put_request(self, call_id: int, header: bytes, payload: bytes, now: float) -> None:
        """Queue an own request: a call with its id, a send with 0."""
        if not self.level:
            self.progress_at = now
        if len(payload) <= JOIN_LIMIT:
            frame = header + payload
            self._buffers.append(frame)
            self._tags.append(call_id)
            self.level += len(frame)
        else:
            self._buffers += (header, payload)
            self._tags += (call_id, _CONTINUED)
            self.level += len(header) + len(payload)

    def take(self) -> list[bytes]:
        """Hand out the next buffers. Call `taken` when the transport has them, and only then take again."""
        if self._out or not self._buffers:
            return []
        if self.level > HAND_OUT:
            return self._take_some()
        buffers, tags = self._buffers, self._tags
        self._buffers, self._tags = [], []
        self._out, self._answers_out = self.level, self.answers
        self.refusals = 0
        self._note_calls_out(tags)
        return buffers

    def _take_some(self) -> list[bytes]:
        count = 0
        kind = _SEND
        for buffer, tag in zip(self._buffers, self._tags, strict=True):
            if tag != _CONTINUED:
                if self._out >= HAND_OUT:
                    break
                kind = tag
            self._out += len(buffer)
            if kind == _ANSWER:
                self._answers_out += len(buffer)
            elif kind == _REFUSAL:
                self._answers_out += len(buffer)
                self.refusals -= len(buffer)
            count += 1
        buffers = self._buffers[:count]
        self._note_calls_out(self._tags[:count])
        del self._buffers[:count], self._tags[:count]
        return buffers

    def _note_calls_out(self, tags: list[int]) -> None:
        for tag in reversed(tags):
            if tag > 0:
                self.last_call_out = tag
                return

    def taken(self, unsent: int, now: float) -> bool:
        """The transport has taken what was handed out, but for the last `unsent` bytes. Says whether it took anything."""
        progress = self._out - unsent
        if progress <= 0:
            return False
        self.level -= progress
        self._out = unsent
        answers_left = min(self._answers_out, unsent)
        self.answers -= self._answers_out - answers_left
        self._answers_out = answers_left
        if self.answers <= self._high:
            self.gated_since = None
        self.progress_at = now
        return True

    @property
    def is_handed_out(self) -> bool:
        """Whether the transport still holds something of what it was given."""
        return self._out > 0

    def was_handed_out(self, call_id: int) -> bool:
        """Whether a byte of the frame of this own call may have left. Ids are compared in a circle of 2^64."""
        return self.last_call_out != 0 and (self.last_call_out - call_id) & _MASK < _HALF

    def remove_calls(self, call_ids: set[int]) -> None:
        """Take the frames of these own calls out again, as far as they are still here."""
        buffers: list[bytes] = []
        tags: list[int] = []
        removed = False
        for buffer, tag in zip(self._buffers, self._tags, strict=True):
            if tag != _CONTINUED:
                removed = tag in call_ids
            if removed:
                self.level -= len(buffer)
            else:
                buffers.append(buffer)
                tags.append(tag)
        self._buffers, self._tags = buffers, tags

    def clear(self) -> None:
        """Drop everything: the connection is closed."""
        self._buffers, self._tags = [], []
        self.level = self.answers = self.refusals = self._out = self._answers_out = 0
        self.gated_since = None


_MASK = 2**64 - 1
_HALF = 2**63
