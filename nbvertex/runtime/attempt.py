"""One attempt of a step in an interpreter of its own, heard until its end: what a container does, without a pool."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from . import process, tree
from .jobs import Died, Ended, Event, Job, Result
from .line import Line

_GRACE = 5.0  # seconds between an interrupt and the end
_RUNTIME = os.path.dirname(os.path.abspath(__file__))


class RunsJobs(Protocol):
    """What `run` does, whoever does it."""

    def __call__(
        self,
        job: Job,
        hear: Callable[[Event], None],
        *,
        environ: Mapping[str, str],
        limit: float | None = None,
    ) -> Result: ...


class Stopped(Exception):
    """Somebody has told this process to end, and the step has ended."""


def run(
    job: Job, hear: Callable[[Event], None], *, environ: Mapping[str, str], limit: float | None = None
) -> Result:
    """Run a job to its end.

    Args:
        job: what the step does.
        hear: is told every event while it happens.
        environ: the environment variables of its process.
        limit: seconds after which it is stopped.

    Raises:
        Stopped: the system told this process to end; the step was interrupted first.
    """
    process.adopt_orphans()
    line = Line(job)
    child = _start(line, environ)
    try:
        with _stopping(line) as asked:
            return _Listening(line, child, hear, limit).result(asked)
    finally:
        tree.end(child.pid)
        child.wait()
        line.close()


def _start(line: Line, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    ours, theirs = socket.socketpair()
    settings = {"preload": [], "without": {}, "spawn": True, "parent": os.getpid()}
    with ours, theirs:
        child = subprocess.Popen(
            [sys.executable, _RUNTIME, "spare", str(theirs.fileno()), json.dumps(settings)],
            pass_fds=[theirs.fileno()],
            env={"PYTHONHASHSEED": "0", **environ},
            cwd=line.job.cwd,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        line.pid = child.pid
        socket.send_fds(ours, [b"."], line.their_ends())
        line.hand_over()
    return child


@contextmanager
def _stopping(line: Line) -> Iterator[list[int]]:
    """Ctrl-C, and the signal that a container is ended with, interrupt the step; gives the signals that came."""
    asked: list[int] = []

    def stop(number: int, frame: object) -> None:
        asked.append(number)
        line.interrupt()
        line.kill_at = time.monotonic() + _GRACE

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Listening:
    """The loop that hears a step.

    Args:
        line: the line to it.
        child: its process.
        hear: is told every event.
        limit: seconds that it may take.
    """

    def __init__(
        self,
        line: Line,
        child: subprocess.Popen[bytes],
        hear: Callable[[Event], None],
        limit: float | None,
    ) -> None:
        self.line, self.child, self.hear = line, child, hear
        self.late = False
        self.deadline = None if limit is None else time.monotonic() + limit
        self.limit = limit
        self.selector = selectors.DefaultSelector()
        self.selector.register(line.sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        for fd in line.pipes:
            self.selector.register(fd, selectors.EVENT_READ)

    def result(self, asked: list[int]) -> Result:
        with self.selector:
            while self.line.listener.result is None:
                self._round()
        result = self.line.listener.result
        if asked:
            raise Stopped(signal.Signals(asked[0]).name)
        if self.late:
            return Died(None, None, f"timed out after {self.limit:g} seconds")
        return result

    def _round(self) -> None:
        ended = self.child.poll() is not None
        for key, mask in self.selector.select(0.05 if ended else 0.2):
            if key.fileobj is self.line.sock:
                self._talk(mask)
            else:
                self._read(key.fd)
        if ended and self.line.listener.result is None:
            self._tell(self.line.read_rest())
            if self.line.listener.result is None:
                self._tell(self._died(self.child.returncode))
        self._look_at_the_clock()

    def _talk(self, mask: int) -> None:
        sock = self.line.sock
        if mask & selectors.EVENT_WRITE and self.line.flush():
            self.selector.modify(sock, selectors.EVENT_READ)
        if mask & selectors.EVENT_READ:
            events = self.line.read_socket()
            if events is None:
                self.selector.unregister(sock)  # its process has ended, or is about to
                self.child.wait()
            else:
                self._tell(events)

    def _read(self, fd: int) -> None:
        events = self.line.read_pipe(fd)
        if events is None:
            self.selector.unregister(fd)
            self.line.close_pipe(fd)
        else:
            self._tell(events)

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        if self.deadline is not None and now >= self.deadline and not self.late:
            self.late = True
            self.line.interrupt()
            self.line.kill_at = now + _GRACE
        if self.line.kill_at is not None and now >= self.line.kill_at:
            self.line.kill_at = None
            self.line.kill()

    def _died(self, code: int) -> list[Event]:
        if code >= 0:
            return self.line.died(None, code, f"the process ended with exit code {code} before the step did")
        name = signal.Signals(-code).name
        said = {"SIGKILL": ": out of memory?", "SIGSEGV": ": a crash in compiled code"}.get(name, "")
        return self.line.died(name, None, f"killed by {name}{said}")

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            if not isinstance(event, Ended):
                self.hear(event)
