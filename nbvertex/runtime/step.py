"""One step in a process of its own: load what it reads, run its cells, hand back what it made."""

from __future__ import annotations

import asyncio
import atexit
import faulthandler
import itertools
import os
import pickle
import socket
import traceback
from dataclasses import dataclass
from os import _exit, getpid  # these are bound here: cells may put something else in their place
from time import monotonic, sleep, time
from typing import Any, NoReturn

from . import guard, heap, idle, measures, names, process, session, shell, streams, tasks, tree, widgets, wire

_MOMENT = 0.2  # seconds


@dataclass(frozen=True)
class Ready:
    """What a step's process begins with.

    Args:
        ip: the shell, fresh.
        outputs: `sys.stdout` and `sys.stderr`, not yet connected.
        widgets: what may take outputs instead.
    """

    ip: shell.ZMQInteractiveShell
    outputs: tuple[streams.Stream, streams.Stream]
    widgets: widgets.Widgets

    def live(self, sock: socket.socket) -> NoReturn:
        """Wait for the descriptors of a step's socket and pipes, then be its process."""
        rehearse(self.ip)  # touches the memory that a fork shares only until then
        data, fds = wire.receive(sock)
        if not data:
            _exit(0)
        sock.close()
        host, out, err = socket.socket(fileno=fds[0]), fds[1], fds[2]
        process.use_as_standard(os.devnull, out, err)
        received = wire.read(host)
        if received is None:
            _exit(0)
        job, blobs = received
        outlet = streams.Outlet(host, (out, err), bytes.fromhex(job["mark"]), job["output_limit"])
        for stream in self.outputs:
            stream.connect(outlet)
        faulthandler.enable(err)  # a crash in compiled code says where
        self.widgets.connect(outlet)
        self.ip.connect(self.widgets.show)
        try:
            Step(self, outlet, job, blobs).run()
        except BaseException as error:  # the cells' own errors have been told: this one is about the step
            message = "".join(traceback.format_exception_only(type(error), error)).strip()
            tree.end(getpid(), itself=False)
            outlet.frame({"kind": "broken", "message": message, "traceback": traceback.format_exc()})
        _exit(0)


def rehearse(ip: shell.ZMQInteractiveShell) -> None:
    """Do once, before any fork, what every step does and what is slow only the first time."""
    heap.warm_up(ip)
    ip.run_cell("pass")  # type: ignore[no-untyped-call, unused-ignore]
    asyncio.new_event_loop().close()


class Step:
    """The run of one job.

    Args:
        ready: the process.
        outlet: the way to the host.
        job: the job's header.
        blobs: the bytes that came with it.
    """

    def __init__(self, ready: Ready, outlet: streams.Outlet, job: wire.Header, blobs: list[bytes]) -> None:
        self.ip = ready.ip
        self.widgets = ready.widgets
        self.outlet = outlet
        self.job = job
        self.parameters: list[tuple[int, str, Any]] = pickle.loads(blobs[0])
        self.blobs = blobs[1:]
        self.started = monotonic()
        self.guard = guard.Guard(
            outlet,
            early=job["early"],
            ours=[artifact["path"] for artifact in job["inputs"]["artifacts"] if "path" in artifact],
            scratch=job["scratch"],
        )

    def run(self) -> None:
        """Run the whole step and send its result."""
        os.environ.update(self.job["env"])
        os.chdir(self.job["cwd"])
        self.guard.watch()
        loop = asyncio.new_event_loop()  # before values arrive: some know it
        asyncio.set_event_loop(loop)
        sources = [cell["source"] for cell in self.job["cells"]] or self.job["inputs"].get("sources", [])
        try:
            held = heap.load(self.ip, {**self.job["inputs"], "sources": sources}, self.blobs)
        except heap.CannotArrive as error:
            self.outlet.frame({"kind": "refused", "state": error.told(), **self._facts()})
            return
        task = tasks.of(held, self.job["task"], self.blobs)
        answer = task.begin()
        if answer is not None:
            state = {"names": {}, "homes": {}, "artifacts": [], "told": answer}
            self.outlet.frame({"kind": "done", "state": state, **self._facts()})
            return
        failure = loop.run_until_complete(self._cells(held))
        if self.guard.writes:
            process.flush_files()
        if failure is not None:
            tree.end(getpid(), itself=False)
            self.outlet.frame({"kind": "failed", **failure, **self._facts()})
            return
        self._let_others_end(held)
        state, blobs = held.save(self.job["live"], self.job["scratch"])
        state["told"] = task.end(self.job["live"])
        state["measures"] = measures.take(self.ip.user_ns, self.job["measures"])
        self._survey(0, held)
        if session.has_exits(held.outside.session, "\n".join(held.sources)):
            atexit._run_exitfuncs()
        kind = "refused" if state.get("refused") else "done"
        if kind == "refused":
            tree.end(getpid(), itself=False)
        self.outlet.frame({"kind": kind, "state": state, **self._facts()}, blobs)

    def _let_others_end(self, held: heap.Heap) -> None:
        """Wait a moment for threads and child processes that are about to end: those that stay forbid it."""
        if not session.lives_on(held.outside.session):
            return
        idle.dismiss()
        deadline = monotonic() + _MOMENT
        while session.lives_on(held.outside.session) and monotonic() < deadline:
            sleep(0.002)

    def _facts(self) -> dict[str, Any]:
        state = shell.plain(self.widgets.state())
        return {"seconds": monotonic() - self.started, "files": self.guard.files(), "widgets": state}

    async def _cells(self, held: heap.Heap) -> dict[str, Any] | None:
        self._inject(0)
        for cell in self.job["cells"]:
            self._survey(cell["position"], held)
            failure = await self._cell(cell)
            filename = names.cell_name(cell["source"])
            held.cell_ran(cell["position"], cell["count"], cell["source"], filename)
            if failure is not None and not cell["may_fail"]:
                return failure
            self._inject(cell["position"])
        return None

    async def _cell(self, cell: dict[str, Any]) -> dict[str, Any] | None:
        place = {"position": cell["position"], "count": cell["count"]}
        self.outlet.frame({"kind": "started", **place, "at": time()})
        result = await shell.run(self.ip, cell["source"], cell["count"])
        await _let_tasks_run()
        process.flush_c_output()
        self.widgets.cell_ended()
        error = result.error_in_exec if result.error_before_exec is None else result.error_before_exec
        self.outlet.frame({"kind": "ended", **place, "at": time(), "ok": error is None})
        if error is None:
            return None
        return {
            **place,
            "ename": type(error).__name__,
            "evalue": shell.text_of(error),
            "line": _line(error, names.cell_name(cell["source"]), _leading_blank(cell["source"])),
        }

    def _survey(self, position: int, held: heap.Heap) -> None:
        """Tell what the names hold, where somebody wants to know."""
        if position not in self.job["survey"]:
            return
        from . import survey

        values, shared = survey.told_and_shared(self.ip.user_ns, self.ip.user_ns_hidden)
        gone = [name for name in held.names if not name.startswith("@") and name not in self.ip.user_ns]
        told = {"position": position, "values": values, "gone": gone, "shared": shared}
        self.outlet.frame({"kind": "survey", **told})

    def _inject(self, after: int) -> None:
        self.ip.user_ns.update({name: value for place, name, value in self.parameters if place == after})


def _leading_blank(source: str) -> int:
    """The lines that IPython drops before it counts."""
    return len(list(itertools.takewhile(lambda line: not line.strip(), source.splitlines())))


def _line(error: BaseException, filename: str, dropped: int) -> int | None:
    """The last line of the cell, as it stands in the notebook, that the error passed through."""
    if isinstance(error, SyntaxError) and error.filename == filename:
        return error.lineno + dropped if error.lineno else None
    lines = [
        line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == filename
    ]
    return lines[-1] + dropped if lines else None


async def _let_tasks_run() -> None:
    """Give the tasks that cells have started the time that they have in a kernel between two cells."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=0.005)
