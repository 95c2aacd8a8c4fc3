"""Runs steps in processes of their own: a warm process forks one child for each, and this side hears them."""

from __future__ import annotations

import json
import os
import pickle
import secrets
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nbvertex.errors import Refused as CannotRun
from nbvertex.errors import UsageError
from nbvertex.interpreters import resolve_python
from nbvertex.jobs import (
    CellEnded,
    CellJob,
    CellStarted,
    Died,
    Done,
    Ended,
    Event,
    Failed,
    Job,
    Output,
    Refused,
    Result,
    Revised,
    Waiting,
)
from nbvertex.listener import Listener
from nbvertex.merge import STREAMS, Item, Merge
from nbvertex.runtime import wire

__all__ = [
    "CellEnded", "CellJob", "CellStarted", "Died", "Done", "Ended", "Event", "Failed", "Job", "Output", "Pool",
    "Refused", "Result", "Revised", "Waiting", "resolve_python",
]  # fmt: skip

RUNTIME = Path(__file__).parent / "runtime"
_PIECE = 1 << 18  # bytes read at once


class _Step:
    """One running step, as this side sees it.

    Args:
        job: what it does.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.listener = Listener(job)
        mark = b"\x00" + secrets.token_bytes(15)
        self.merge = Merge(mark)
        self.decoder = wire.Decoder()
        self.sock, self.theirs = socket.socketpair()
        self.sock.setblocking(False)
        self.pipes: dict[int, str] = {}
        self.their_pipes: list[int] = []
        for name in STREAMS:
            read, write = os.pipe()
            os.set_blocking(read, False)
            self.pipes[read] = name
            self.their_pipes.append(write)
        self.outbox: deque[memoryview] = deque(memoryview(piece) for piece in wire.pack(*_frame_of(job, mark)))
        self.pid: int | None = None
        self.stop_asked = False
        self.kill_at: float | None = None

    def their_ends(self) -> list[int]:
        return [self.theirs.fileno(), *self.their_pipes]

    def close_theirs(self) -> None:
        """Let go of the ends that are the child's."""
        self.theirs.close()
        for fd in self.their_pipes:
            os.close(fd)
        self.their_pipes = []

    def close(self) -> None:
        self.close_theirs()
        self.sock.close()
        for fd in self.pipes:
            os.close(fd)
        self.pipes = {}

    def hear(self, items: Iterable[Item]) -> list[Event]:
        return [event for item in items for event in self.listener.hear(item)]

    def signal(self, number: int) -> None:
        """Signal the process and all of its group."""
        if self.pid is not None:
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                pass  # it has ended by itself


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
    }
    # pickled since values of parameters may be more than JSON holds; 4: every Python reads it
    return header, [pickle.dumps(list(job.parameters), protocol=4), *job.blobs]


class Pool:
    """The processes of a run's steps, all in one environment.

    Building it starts the warm process and returns at once; what goes wrong with that shows in `poll`.
    Not for use by several threads.

    Args:
        python: the interpreter (see `resolve_python`).
        preload: modules that the steps import, dotted.
        env: the environment variables, by default this process's.
        cwd: the folder in which the warm process starts.
        runtime: the folder that is started.
    """

    def __init__(
        self,
        python: str,
        *,
        preload: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        runtime: Path = RUNTIME,
    ) -> None:
        self._python = python
        self._preload = preload
        self._env = {"PYTHONHASHSEED": "0", **(os.environ if env is None else env)}
        self._cwd = cwd
        self._runtime = runtime
        self._steps: dict[str, _Step] = {}
        self._selector = selectors.DefaultSelector()
        self._start_warm()

    def _start_warm(self) -> None:
        self._control, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - the warm process writes there until `close`
        settings = json.dumps({"preload": list(self._preload), "without": {}, "spawn": False})
        try:
            self._warm = subprocess.Popen(
                [self._python, str(self._runtime), "warm", str(theirs.fileno()), settings],
                pass_fds=[theirs.fileno()],
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(f"{self._python} cannot be started: {error}") from error
        finally:
            theirs.close()
        self._decoder = wire.Decoder()
        self._control.setblocking(False)
        self._selector.register(self._control, selectors.EVENT_READ, self._hear_warm)

    def start(self, job: Job) -> None:
        """Run a step in a process of its own; `poll` tells how it goes."""
        step = _Step(job)
        self._steps[job.id] = step
        self._control.setblocking(True)
        wire.send(self._control, {"kind": "start", "id": job.id}, fds=step.their_ends())
        self._control.setblocking(False)
        step.close_theirs()
        events = selectors.EVENT_READ | selectors.EVENT_WRITE
        self._selector.register(step.sock, events, lambda mask: self._talk(step, mask))
        for fd, name in step.pipes.items():
            self._selector.register(fd, selectors.EVENT_READ, self._reader(step, fd, name))

    def _reader(self, step: _Step, fd: int, name: str) -> Callable[[int], list[Event]]:
        def read(mask: int) -> list[Event]:
            if fd not in step.pipes:
                return []  # closed by what came before it in the same round
            data = os.read(fd, _PIECE)
            if not data:
                self._selector.unregister(fd)
                return []
            step.merge.text(name, data)
            return step.hear(step.merge.take())

        return read

    def poll(self, timeout: float | None = None) -> list[Event]:
        """What has happened: waits until something has, or for `timeout` seconds.

        Raises:
            nbvertex.errors.Refused: the environment cannot run steps.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        events: list[Event] = []
        while self._steps and not events:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            due = [step.kill_at for step in self._steps.values() if step.kill_at is not None]
            if due:
                soon = max(0.0, min(due) - time.monotonic())
                left = soon if left is None else min(left, soon)
            for key, mask in self._selector.select(left):
                if any(key is known for known in self._selector.get_map().values()):  # not forgotten meanwhile
                    events += key.data(mask)
            self._kill_late()
            if deadline is not None and time.monotonic() >= deadline:
                break
        return events

    def _talk(self, step: _Step, mask: int) -> list[Event]:
        """Write to a step's socket, and read from it."""
        if mask & selectors.EVENT_WRITE:
            self._write(step)
        if not mask & selectors.EVENT_READ:
            return []
        data = step.sock.recv(_PIECE)
        if not data:
            self._selector.unregister(step.sock)
            return []
        events: list[Event] = []
        for header, blobs in step.decoder.feed(data):
            if header.pop("now", False):
                events.append(Waiting(step.job.id, header["what"]))
            else:
                step.merge.frame(header, blobs)
        events += step.hear(step.merge.take())
        if step.listener.result is not None:
            self._forget(step)
        return events

    def _write(self, step: _Step) -> None:
        try:
            while step.outbox:
                sent = step.sock.send(step.outbox[0])
                if sent < len(step.outbox[0]):
                    step.outbox[0] = step.outbox[0][sent:]
                else:
                    step.outbox.popleft()
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            step.outbox.clear()  # it has died; the warm process tells how
        self._selector.modify(step.sock, selectors.EVENT_READ, lambda mask: self._talk(step, mask))

    def _forget(self, step: _Step) -> None:
        self._steps.pop(step.job.id, None)
        for fd in (step.sock.fileno(), *step.pipes):
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
        step.close()

    def _hear_warm(self, mask: int) -> list[Event]:
        events: list[Event] = []
        try:
            data = self._control.recv(_PIECE)
        except ConnectionResetError:
            data = b""
        if not data:
            self._selector.unregister(self._control)
            self._warm.wait()
            raise CannotRun("the warm process has ended")
        for header, _ in self._decoder.feed(data):
            kind = header["kind"]
            if kind == "forked" and header["id"] in self._steps:
                self._steps[header["id"]].pid = header["pid"]
            elif kind == "exited":
                events += self._exited(header)
                self._control.setblocking(True)
                wire.send(self._control, {"kind": "reap", "pid": header["pid"]})
                self._control.setblocking(False)
            elif kind == "broken":
                raise CannotRun(f"{self._python} cannot run steps: {header['message']}")
        return events

    def _exited(self, header: dict[str, Any]) -> list[Event]:
        step = self._steps.get(header["id"])
        if step is None:
            return []
        events = step.hear(step.merge.finish())
        if step.listener.result is None:
            name = signal.Signals(header["signal"]).name if "signal" in header else None
            message = f"killed by {name}" if name else f"the process ended with exit code {header['code']}"
            events += step.listener.died(name, header.get("code"), message)
        self._forget(step)
        return events

    def proceed(self, job_id: str) -> None:
        """Let an early step that waits go on."""
        step = self._steps.get(job_id)
        if step is not None:
            step.outbox += [memoryview(piece) for piece in wire.pack({"kind": "proceed"})]
            events = selectors.EVENT_READ | selectors.EVENT_WRITE
            self._selector.modify(step.sock, events, lambda mask: self._talk(step, mask))

    def stop(self, job_id: str, *, grace: float = 5.0) -> None:
        """Interrupt a step; after `grace` seconds end its whole process group. `poll` tells the result."""
        step = self._steps.get(job_id)
        if step is not None:
            step.stop_asked = True
            step.signal(signal.SIGINT)
            step.kill_at = time.monotonic() + grace

    def _kill_late(self) -> None:
        now = time.monotonic()
        for step in self._steps.values():
            if step.kill_at is not None and step.kill_at <= now:
                step.kill_at = None
                step.signal(signal.SIGKILL)

    def close(self) -> None:
        """End every process that is left."""
        for step in list(self._steps.values()):
            step.signal(signal.SIGKILL)
            self._forget(step)
        self._selector.close()
        self._control.close()
        self._warm.wait()
        self._errors.close()
