"""What a step writes, in order: its two streams, and frames that keep their place between them."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from os import getpid, register_at_fork, write  # bound here: cells may put something else in their place
from select import select

from . import wire

SWITCH, FRAME = b"s", b"f"


class Outlet:
    """The way out of a step: a pipe for each stream and a socket for frames.

    The pipes and the socket are read by one process that cannot know in which order they were written. So
    a mark goes into both pipes wherever the order matters: between a text on one stream and a text on the
    other, and where a frame belongs.

    Args:
        sock: for frames.
        pipes: descriptors of the write ends for stdout and stderr, which nobody else closes or redirects.
        mark: bytes that no output holds by chance.
        limit: bytes of output that the reader keeps: what is bigger stays here.
    """

    def __init__(self, sock: socket.socket, pipes: tuple[int, int], mark: bytes, limit: int) -> None:
        self.sock = sock
        self.pipes = pipes
        self.divert: Callable[[str, str], bool] | None = None  # takes text before the pipes do
        self.last = -1  # the stream written last, -1 where any may come next
        self._mark = mark
        self._limit = limit
        self._pid = getpid()
        self._lock = threading.RLock()
        register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        # a process that the step forked: it may write text, but marks and frames are its parent's
        self._lock = threading.RLock()

    @property
    def mine(self) -> bool:
        """This is the step's own process, not one that it forked."""
        return getpid() == self._pid

    def switch(self, stream: int) -> None:
        """Note that what comes next is for that stream."""
        if self.mine:
            with self._lock:
                if self.last != -1:
                    self._write_mark(SWITCH)
                self.last = stream

    def frame(self, header: wire.Header, blobs: Sequence[wire.Blob] = ()) -> None:
        """Send a frame that comes after all that was written before it."""
        if not self.mine:
            return
        with self._lock:
            self._write_mark(FRAME)
            self.last = -1
            wire.send(self.sock, header, blobs)

    def show(self, output: wire.Header) -> None:
        """Send a frame with an output of a cell; of one that is too big only how big it is."""
        size = sum(len(value) for value in output.get("data", {}).values() if isinstance(value, str))
        self.frame(output if size <= self._limit else {"kind": "dropped", "size": size})

    def _write_mark(self, kind: bytes) -> None:
        for pipe in self.pipes:
            write_all(pipe, self._mark + kind)


standard: dict[str, Stream] = {}  # of this process


class Stream(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` of a step: like a kernel's, with no buffer of its own.

    Each text goes to the pipe at once, so that it stands before whatever a child process writes next.
    Until an outlet is given, what is written is put aside in `held`.
    """

    encoding = "UTF-8"
    errors = "backslashreplace"

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        standard[name] = self
        self.held: list[str] = []
        self._number = number
        self._outlet: Outlet | None = None
        self._pipe = -1

    def connect(self, outlet: Outlet) -> None:
        """Write to that outlet from now on."""
        self._outlet = outlet
        self._pipe = outlet.pipes[self._number - 1]

    def write(self, text: str) -> int:
        outlet = self._outlet
        if outlet is None:
            self.held.append(text)
            return len(text)
        if outlet.divert is not None and outlet.divert(self.name, text):
            return len(text)
        if outlet.last != self._number:
            outlet.switch(self._number)
        try:
            data = text.encode("utf-8", "backslashreplace")
        except AttributeError:
            raise TypeError(f"write() argument must be str, not {type(text)}") from None
        try:
            done = write(self._pipe, data)
        except BlockingIOError:
            done = 0
        if done != len(data):
            write_all(self._pipe, data[done:])
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        self.write("".join(lines))

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._number

    def close(self) -> None:
        """Stay open: a step that closes its output goes on as under a kernel."""


def write_all(fd: int, data: bytes) -> None:
    """Write everything, also where another process has made the pipe non-blocking."""
    view = memoryview(data)
    while view:
        try:
            view = view[write(fd, view) :]
        except BlockingIOError:
            select([], [fd], [])
