"""The line to one step's process: its socket and its two pipes, as this side holds them."""

from __future__ import annotations

import os
import pickle
import secrets
import signal
import socket
from collections import deque
from collections.abc import Iterable

from . import tree, wire
from .jobs import Event, Job
from .listener import Listener
from .merge import STREAMS, Item, Merge

PIECE = 1 << 18  # bytes read at once
_LEFT_BEHIND = 4 << 20  # bytes read from a pipe after the process has ended: more than a pipe holds
_SET_PIPE_SIZE = 1031  # of Linux's fcntl


class Line:
    """One running step.

    Args:
        job: what it does.
    """

    def __init__(self, job: Job) -> None:
        mark = b"\x00" + secrets.token_bytes(15)
        self.job = job
        self.listener = Listener(job)
        self.pid: int | None = None
        self.kill_at: float | None = None
        self.grace: float | None = None  # asked to stop
        self.pipes: dict[int, str] = {}
        self.sock, self._theirs = socket.socketpair()
        self.sock.setblocking(False)
        self._their_pipes: list[int] = []
        self._merge = Merge(mark)
        self._decoder = wire.Decoder()
        for name in STREAMS:
            read, write = os.pipe()
            _enlarge(write)
            os.set_blocking(read, False)
            self.pipes[read] = name
            self._their_pipes.append(write)
        self._outbox: deque[memoryview] = deque()
        self.send(*_frame_of(job, mark))

    def their_ends(self) -> list[int]:
        """The descriptors for the step's process: its socket, then the pipes for stdout and stderr."""
        return [self._theirs.fileno(), *self._their_pipes]

    def hand_over(self) -> None:
        """Let go of the ends that are the process's now."""
        self._theirs.close()
        while self._their_pipes:
            os.close(self._their_pipes.pop())

    def send(self, header: wire.Header, blobs: Iterable[bytes] = ()) -> None:
        """Have a frame written by `flush`."""
        self._outbox.extend(memoryview(piece) for piece in wire.pack(header, list(blobs)))

    def flush(self) -> bool:
        """Write what the socket takes; True where nothing is left to write."""
        try:
            while self._outbox:
                sent = self.sock.send(self._outbox[0])
                if sent < len(self._outbox[0]):
                    self._outbox[0] = self._outbox[0][sent:]
                else:
                    self._outbox.popleft()
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            self._outbox.clear()  # it has ended; the warm process tells how
        return True

    def read_socket(self) -> list[Event] | None:
        """Events from the frames that have come; None where the process has closed its end."""
        try:
            data = self.sock.recv(PIECE)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            return None
        if not data:
            return None
        for header, blobs in self._decoder.feed(data):
            self._merge.frame(header, blobs)
        return self._hear(self._merge.take())

    def read_pipe(self, fd: int) -> list[Event] | None:
        """Events from what has been written to a pipe; None where nobody can write any more."""
        try:
            data = os.read(fd, PIECE)
        except BlockingIOError:
            return []
        if not data:
            return None
        if self.listener.result is not None:
            return []  # of a process that the step has left behind
        self._merge.text(self.pipes[fd], data)
        return self._hear(self._merge.take())

    def read_rest(self) -> list[Event]:
        """Events from all that the process has written before it ended."""
        events: list[Event] = []
        while self.listener.result is None and (more := self.read_socket()):
            events += more
        for fd in self.pipes:
            for _ in range(_LEFT_BEHIND // PIECE):
                more = self.read_pipe(fd)
                if not more:
                    break
                events += more
        return events + self._hear(self._merge.finish())

    def died(self, signal_name: str | None, exit_code: int | None, message: str) -> list[Event]:
        """Events of a process that has ended without a result."""
        return list(self.listener.died(signal_name, exit_code, message))

    def _hear(self, items: Iterable[Item]) -> list[Event]:
        return [event for item in items for event in self.listener.hear(item)]

    def interrupt(self) -> None:
        """Interrupt the process and its group."""
        if self.pid is not None:
            try:
                os.killpg(self.pid, signal.SIGINT)
            except ProcessLookupError:
                pass  # it has ended by itself

    def kill(self) -> None:
        """End the process and everything that it has started."""
        if self.pid is not None:
            tree.end(self.pid)

    def close_pipe(self, fd: int) -> None:
        """Stop listening to a pipe."""
        del self.pipes[fd]
        os.close(fd)

    def close(self) -> None:
        """Stop listening."""
        self.hand_over()
        self.sock.close()
        for fd in list(self.pipes):
            self.close_pipe(fd)


def _frame_of(job: Job, mark: bytes) -> tuple[wire.Header, list[bytes]]:
    header = {
        "mark": mark.hex(),
        "cells": [
            {"position": c.position, "count": c.count, "source": c.source, "may_fail": c.may_fail}
            for c in job.cells
        ],
        "inputs": job.inputs,
        "live": None if job.live is None else list(job.live),
        "cwd": os.path.abspath(job.cwd),
        "env": dict(job.env or {}),
        "scratch": os.path.abspath(job.scratch),
        "early": job.early,
        "output_limit": job.output_limit,
        "survey": list(job.survey),
        "measures": list(job.measures),
        "task": job.task,
    }
    # pickled since values of parameters may be more than JSON holds; 4: every Python reads it
    return header, [pickle.dumps(list(job.parameters), protocol=4), *job.blobs]


def _enlarge(pipe: int) -> None:
    """Give a pipe room for a megabyte, so that a step that writes much seldom waits."""
    import fcntl

    try:
        fcntl.fcntl(pipe, _SET_PIPE_SIZE, 1 << 20)
    except OSError:
        pass  # not Linux, or the user's share of such memory is used up
