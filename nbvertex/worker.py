"""Runs steps in processes of their own: a warm process has a child ready for each, and this side hears them."""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nbvertex.errors import Refused as CannotRun
from nbvertex.errors import UsageError
from nbvertex.interpreters import resolve_python
from nbvertex.runtime import tree, wire
from nbvertex.runtime.jobs import (
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
    Surveyed,
    Waiting,
)
from nbvertex.runtime.line import PIECE, Line

__all__ = [
    "CellEnded", "CellJob", "CellStarted", "Died", "Done", "Ended", "Event", "Failed", "Job", "Output", "Pool",
    "Refused", "Result", "Revised", "Surveyed", "Waiting", "resolve_python",
]  # fmt: skip

RUNTIME = Path(__file__).parent / "runtime"
_NAP = 0.001
_BUSY = 5  # events of one read
_PATIENCE = 2.0  # seconds for the warm process to end by itself


class Pool:
    """The processes of a run's steps, all in one environment.

    Building it starts the warm process and returns at once; what goes wrong with that shows in `poll`.
    Not for use by several threads.

    Args:
        python: the interpreter (see `resolve_python`).
        preload: modules that the steps import, dotted; None: `expect` tells them.
        env: the environment variables, by default this process's.
        cwd: the folder in which the warm process starts: what can be imported from there is not preloaded.
        without: modules of `preload` that are known not to be fit for it (`Pool.without` of an earlier pool):
            finding that out makes the warm process begin anew.
        start_limit: seconds for the imports of the warm process; then each step imports for itself.
        runtime: the folder that is started.

    Raises:
        UsageError: the interpreter cannot be started at all.
        nbvertex.errors.Refused: this system cannot run steps.
    """

    def __init__(
        self,
        python: str,
        *,
        preload: tuple[str, ...] | None = (),
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        without: Mapping[str, str] = MappingProxyType({}),
        start_limit: float = 120.0,
        runtime: Path = RUNTIME,
    ) -> None:
        if not hasattr(os, "fork"):
            raise CannotRun("steps run on Linux and macOS", hint="on Windows use its Subsystem for Linux")
        self._python = python
        self._preload = preload or ()
        self._later: int | None = None  # a pipe, until the warm process knows what to import
        self._env = {"PYTHONHASHSEED": "0", **(os.environ if env is None else env)}
        self._cwd = cwd
        self.without = dict(without)  # modules that each step imports itself, and why
        self._start_limit = start_limit
        self._runtime = runtime
        self._lines: dict[str, Line] = {}
        self._past: set[Line] = set()  # steps that are over, whose pipes somebody may still write to
        self._selector = selectors.DefaultSelector()
        self._looked, self._trickles = 0.0, False
        self._kills = _memory_kills()
        self._start_warm(waits=preload is None)

    # ------------------------------------------------------------------------------------ the warm process

    def expect(self, preload: tuple[str, ...]) -> None:
        """Tell a pool that was made without it what the steps import."""
        assert self._later is not None
        self._preload = preload
        self._be_patient()
        with os.fdopen(self._later, "w", encoding="utf-8") as pipe, contextlib.suppress(BrokenPipeError):
            json.dump(preload, pipe)  # `poll` finds a warm process that has ended
        self._later = None

    def _be_patient(self) -> None:
        self._patience = time.monotonic() + self._start_limit if self._preload else math.inf

    def _start_warm(self, *, waits: bool = False) -> None:
        self._control, theirs = socket.socketpair()
        self._ready = False
        self._be_patient()
        self._decoder = wire.Decoder()
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - the warm process writes there until it ends
        settings: dict[str, Any] = {"preload": self._preload, "without": self.without, "spawn": False}
        handed = [theirs.fileno()]
        if waits:
            settings["later"], self._later = os.pipe()
            handed.append(settings["later"])
        try:
            self._warm = subprocess.Popen(
                [self._python, str(self._runtime), "warm", str(theirs.fileno()), json.dumps(settings)],
                pass_fds=handed,
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=self._complaints,
                stderr=self._complaints,
                start_new_session=True,  # a Ctrl-C in the terminal is for this process alone
            )
        except OSError as error:
            self._control.close()
            self._complaints.close()
            self._never_told()
            raise UsageError(f"{self._python} cannot be started: {error.strerror}") from error
        finally:
            theirs.close()
            for fd in handed[1:]:
                os.close(fd)
        self._selector.register(self._control, selectors.EVENT_READ, self._hear_warm)

    def _hear_warm(self, mask: int) -> list[Event]:
        try:
            data = self._control.recv(PIECE)
        except ConnectionResetError:
            data = b""
        if not data:
            return self._warm_ended()
        events: list[Event] = []
        for header, _ in self._decoder.feed(data):
            kind = header["kind"]
            if kind == "ready":
                self._ready = True
                self.without = header["without"]
            elif kind == "broken":
                raise self._unusable(header["message"], header["module"])
            elif kind == "forked":
                self._forked(header)
            elif kind == "exited":
                events += self._exited(header)
        return events

    def _without_preload(self) -> None:
        """Begin anew, since an import takes too long: the step that wants it may wait for it and say so."""
        jobs = [(line.job, line.grace) for line in self._lines.values()]
        for line in list(self._lines.values()):
            self._forget(line)
        self._selector.unregister(self._control)
        self._control.close()
        tree.end(self._warm.pid)
        self._warm.wait()
        self._complaints.close()
        self._preload = ()
        self._start_warm()
        for job, grace in jobs:
            self.start(job)
            if grace is not None:
                self.stop(job.id, grace=grace)

    def _warm_ended(self) -> list[Event]:
        """What the end of the warm process means: no step lives on without it."""
        self._selector.unregister(self._control)
        self._control.close()
        code = self._warm.wait()
        with self._complaints as file:
            file.seek(0)
            complaint = file.read().decode("utf-8", "replace").strip()
        if not self._ready:
            last = complaint.splitlines()[-1] if complaint else _how_it_ended(code)
            raise self._unusable(last, None)
        events: list[Event] = []
        for line in list(self._lines.values()):
            line.kill()
            events += line.read_rest()
            if line.listener.result is None:
                name = signal.Signals(-code).name if code < 0 else None
                message = f"the process that steps are forked from has ended ({_how_it_ended(code)})"
                events += line.died(name, None, message)
            self._forget(line)
        return events

    def _unusable(self, message: str, module: str | None) -> CannotRun:
        if module is not None and module.partition(".")[0] == "IPython":
            return CannotRun(
                f"{self._python} has no IPython, in which the cells of a step run",
                hint=f"{self._python} -m pip install ipython",
                code="no-ipython",
            )
        return CannotRun(f"{self._python} cannot run steps: {message}", code="no-worker")

    def _tell_warm(self, header: wire.Header, fds: tuple[int, ...] = ()) -> None:
        try:
            wire.send(self._control, header, fds=fds)
        except (BrokenPipeError, ConnectionResetError):
            pass  # `poll` finds that it has ended

    # ------------------------------------------------------------------------------------------- the steps

    def start(self, job: Job) -> None:
        """Run a step in a process of its own; `poll` tells how it goes.

        Raises:
            UsageError: the working folder is missing, or a job of that id runs.
        """
        if job.id in self._lines:
            raise UsageError(f"step {job.id!r} is running already")
        if not os.path.isdir(job.cwd):
            raise UsageError(f"the working folder {job.cwd!r} is no folder")
        if self._control.fileno() == -1:
            self._start_warm()
        line = Line(job)
        self._tell_warm({"kind": "start", "id": job.id}, tuple(line.their_ends()))
        line.hand_over()
        self._lines[job.id] = line
        self._selector.register(line.sock, selectors.EVENT_READ, partial(self._talk, line))
        for fd in line.pipes:
            self._selector.register(fd, selectors.EVENT_READ, partial(self._listen, line, fd))
        self._write(line)

    def _forked(self, header: wire.Header) -> None:
        line = self._lines.get(header["id"])
        if line is not None:
            line.pid = header["pid"]
            if line.grace is not None:  # stopped before it was there
                self.stop(header["id"], grace=line.grace)

    def _talk(self, line: Line, mask: int) -> list[Event]:
        """Write to a step's socket, and read from it."""
        if mask & selectors.EVENT_WRITE:
            self._write(line)
        if not mask & selectors.EVENT_READ:
            return []
        events = line.read_socket()
        if events is None:
            self._selector.unregister(line.sock)  # the warm process tells how it has ended
            return []
        self._forget_if_over(line)
        return events

    def _write(self, line: Line) -> None:
        events = selectors.EVENT_READ if line.flush() else selectors.EVENT_READ | selectors.EVENT_WRITE
        if self._selector.get_key(line.sock).events != events:
            self._selector.modify(line.sock, events, partial(self._talk, line))

    def _listen(self, line: Line, fd: int, mask: int) -> list[Event]:
        events = line.read_pipe(fd)
        if events is None:
            self._selector.unregister(fd)
            line.close_pipe(fd)
            if not line.pipes:
                self._past.discard(line)
            return []
        self._trickles = all(isinstance(event, Output) for event in events) and len(events) < _BUSY
        self._forget_if_over(line)
        return events

    def _forget_if_over(self, line: Line) -> None:
        """Let a step go that has a result; its pipes stay while a process that it left behind may write."""
        if line.listener.result is not None and self._lines.pop(line.job.id, None) is not None:
            if line.sock.fileno() in self._selector.get_map():
                self._selector.unregister(line.sock)
            line.sock.close()
            self._past.add(line)

    def _forget(self, line: Line) -> None:
        self._lines.pop(line.job.id, None)
        self._past.discard(line)
        for fd in (line.sock.fileno(), *line.pipes):
            if fd >= 0 and fd in self._selector.get_map():
                self._selector.unregister(fd)
        line.close()

    def _exited(self, header: dict[str, Any]) -> list[Event]:
        line = self._lines.get(header["id"])
        events: list[Event] = []
        if line is not None:
            events += line.read_rest()
            if line.listener.result is None:
                tree.end(header["pid"])
                events += self._died(line, header)
            self._forget_if_over(line)
        self._tell_warm({"kind": "reap", "pid": header["pid"]})
        return events

    def _died(self, line: Line, header: dict[str, Any]) -> list[Event]:
        if "code" in header:
            code = header["code"]
            message = f"the process ended with exit code {code} before the step did"
            return line.died(None, code, "stopped" if line.grace is not None else message)
        name = signal.Signals(header["signal"]).name
        message = f"killed by {name}"
        if line.grace is not None:
            message = "stopped"
        elif name == "SIGKILL":
            message += ": out of memory" + ("" if _memory_kills() > self._kills else "?")
        elif name in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"):
            message += ": a crash in compiled code"
        return line.died(name, None, message)

    # --------------------------------------------------------------------------------------------- outside

    def poll(self, timeout: float | None = None) -> list[Event]:
        """What has happened: waits until something has, or for `timeout` seconds; at once where no step runs.

        Raises:
            nbvertex.errors.Refused: the environment cannot run steps.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        events: list[Event] = []
        while self._lines and not events:
            now = time.monotonic()
            due = [line.kill_at for line in self._lines.values() if line.kill_at is not None]
            due += [] if deadline is None else [deadline]
            due += [] if self._ready or self._patience == math.inf else [self._patience]
            for key, mask in self._select(max(0.0, min(due) - now) if due else None):
                if self._selector.get_map().get(key.fd) is key:  # not forgotten in this very round
                    events += key.data(mask)
            self._kill_late()
            if not self._ready and time.monotonic() >= self._patience:
                self._without_preload()
            if deadline is not None and time.monotonic() >= deadline:
                break
        return events

    def _select(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """What can be read and written; where texts keep coming in small pieces, a moment later and more of it."""
        ready = self._selector.select(timeout)
        if self._trickles and time.monotonic() - self._looked < _NAP:
            time.sleep(_NAP)
        self._looked, self._trickles = time.monotonic(), False
        return ready

    def proceed(self, job_id: str) -> None:
        """Let an early step that waits go on."""
        line = self._lines.get(job_id)
        if line is not None:
            line.send({"kind": "proceed"})
            self._write(line)

    def stop(self, job_id: str, *, grace: float = 5.0) -> None:
        """Interrupt a step; after `grace` seconds end it with all that it has started. `poll` tells the result."""
        line = self._lines.get(job_id)
        if line is not None:
            line.grace = grace
            line.interrupt()
            line.kill_at = time.monotonic() + grace

    def _kill_late(self) -> None:
        now = time.monotonic()
        for line in self._lines.values():
            if line.kill_at is not None and line.kill_at <= now:
                line.kill_at = None
                line.kill()

    def close(self) -> None:
        """End every process that is left."""
        for line in list(self._lines.values()):
            line.kill()
            self._forget(line)
        for line in list(self._past):
            self._forget(line)
        self._selector.close()
        self._control.close()
        self._never_told()
        try:
            self._warm.wait(_PATIENCE if self._ready else 0)
        except subprocess.TimeoutExpired:
            tree.end(self._warm.pid)
            self._warm.wait()
        self._complaints.close()

    def _never_told(self) -> None:
        if self._later is not None:
            os.close(self._later)
            self._later = None


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"killed by {name}" + (": out of memory?" if name == "SIGKILL" else "")


def _memory_kills() -> int:
    """How often the system has killed a process for want of memory."""
    total = 0
    for path in ("/proc/vmstat", "/sys/fs/cgroup/memory.events"):
        try:
            lines = Path(path).read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return total
