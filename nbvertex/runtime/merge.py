"""Puts what a step wrote to two pipes and a socket back into one order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

STREAMS = ("stdout", "stderr")
_KINDS = 1  # bytes that follow a mark: what it stands for
_FRAME = b"f"


@dataclass(frozen=True, slots=True)
class Text:
    """Bytes that were written to a stream."""

    stream: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame, at its place between the texts."""

    header: dict[str, Any]
    blobs: list[bytes]


Item = Text | Frame


class _Pipe:
    """One stream: texts and marks in the order they came."""

    def __init__(self, name: str, mark: bytes) -> None:
        self.name = name
        self.queue: deque[Text | bytes] = deque()  # bytes: the kind of a mark
        self._mark = mark
        self._rest = b""

    def feed(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        start = 0
        while (found := data.find(self._mark, start)) != -1:
            end = found + len(self._mark) + _KINDS
            if end > len(data):
                break
            self._text(data[start:found])
            self.queue.append(data[end - _KINDS : end])
            start = end
        keep = found if found != -1 else len(data) - _overlap(data, self._mark, start)
        self._text(data[start:keep])
        self._rest = data[keep:]

    def finish(self) -> None:
        """Take the beginning of a mark that never came for the text that it is."""
        self._text(self._rest)
        self._rest = b""

    def _text(self, data: bytes) -> None:
        if data:
            self.queue.append(Text(self.name, data))

    @property
    def at_mark(self) -> bytes | None:
        """The kind of the mark that is next, None where a text or nothing is."""
        return self.queue[0] if self.queue and isinstance(self.queue[0], bytes) else None

    def texts(self) -> Iterator[Item]:
        """Take what is there before the next mark."""
        while self.queue and isinstance(text := self.queue[0], Text):
            self.queue.popleft()
            yield text


class Merge:
    """Takes bytes and frames as they arrive and gives them in the order in which they were written.

    The writer puts a mark into both pipes wherever the order matters (`runtime/streams.py`). Between two
    marks the texts of the streams come as they arrive.

    Args:
        mark: the bytes that every mark begins with.
    """

    def __init__(self, mark: bytes) -> None:
        self._pipes = {name: _Pipe(name, mark) for name in STREAMS}
        self._frames: deque[Frame] = deque()

    def text(self, stream: str, data: bytes) -> None:
        """Take bytes of a stream."""
        self._pipes[stream].feed(data)

    def frame(self, header: dict[str, Any], blobs: list[bytes]) -> None:
        """Take a frame."""
        self._frames.append(Frame(header, blobs))

    def take(self) -> Iterator[Item]:
        """Give everything whose place is known."""
        pipes = self._pipes.values()
        while True:
            for pipe in pipes:
                yield from pipe.texts()
            kinds = [pipe.at_mark for pipe in pipes]
            if None in kinds or (_FRAME in kinds and not self._frames):
                return
            for pipe in pipes:
                pipe.queue.popleft()
            if _FRAME in kinds:
                yield self._frames.popleft()

    def finish(self) -> Iterator[Item]:
        """Give the rest, once nothing more will come: marks may be missing where the writer died."""
        for pipe in self._pipes.values():
            pipe.finish()
        yield from self.take()
        for pipe in self._pipes.values():
            yield from (item for item in pipe.queue if isinstance(item, Text))
            pipe.queue.clear()
        while self._frames:
            yield self._frames.popleft()

    @property
    def waits_for_frame(self) -> bool:
        """Texts are held back until a frame has come."""
        return any(pipe.queue for pipe in self._pipes.values())


def _overlap(data: bytes, mark: bytes, start: int) -> int:
    """How many bytes at the end of the data are the beginning of a mark."""
    first = mark[:1]
    at = data.find(first, max(start, len(data) - len(mark) - _KINDS + 1))
    while at != -1:
        if mark.startswith(data[at:]):
            return len(data) - at
        at = data.find(first, at + 1)
    return 0
