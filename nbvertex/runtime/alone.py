"""One step where there is nothing but this runtime: what earlier steps left comes in, what it leaves goes out."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from . import attempt, deltas, needs, page, plots, vault, workplace
from .jobs import CellEnded, Died, Done, Event, Failed, Job, Output, Refused, Result, Revised
from .orders import Order

PAGE, NOTEBOOK = "cells.html", plots.CELLS
DONE, FAILED, REFUSED = 0, 1, 2
HOLDS = "holds"  # what is told of a condition


@dataclass
class Ran:
    """How a step went.

    Args:
        code: the exit code.
        delta: what it left; None where it did not end well.
        metrics: its numbers.
        told: the answer to its task.
    """

    code: int
    delta: deltas.Delta | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """What a step finds.

    Args:
        ancestors: the folders that the steps before it left.
        rounds: those that its own rounds left, where it gathers them.
        values: of parameters, by name.
        item: which round it is and the item in a few words, like ``0: 0.1``.
        kit: the folder with what came along: ``beside`` holds the modules and files beside the notebook, ``site``
            packages.
        environ: the environment variables of its process.
    """

    ancestors: Sequence[str] = ()
    rounds: Sequence[str] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    item: str = ""
    kit: str | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


def run(order: Order, given: Given, out: str, run_job: attempt.RunsJobs = attempt.run) -> Ran:
    """Run a step, or do what else the order says of it, and what comes right after that.

    Args:
        order: the step.
        given: what it finds.
        out: the folder for what it leaves.
        run_job: runs its cells in a process.

    Returns:
        how it went; what is to be said of it has been written to stderr.
    """
    ran = _run(order, given, out, run_job)
    then = order.task.get("then") if order.task is not None else None
    if then is None or not ran.told.get(HOLDS):
        return ran
    listed = _run(replace(order, task=then, wanted=(then["source"],)), given, out, run_job)
    return replace(listed, told={**ran.told, **listed.told})


def _run(order: Order, given: Given, out: str, run_job: attempt.RunsJobs) -> Ran:
    os.makedirs(out, exist_ok=True)
    try:
        found = [deltas.read(folder) for folder in given.ancestors]
        if any(delta.ended for delta in found):
            return _left_out(order, out, deltas.Seen(), ended=True)
        rounds = [deltas.read(folder) for folder in given.rounds]
        work, world = plots.plot(order, found, rounds, given.item)
    except (deltas.Unreadable, deltas.NotTheSame) as error:
        _say(f"step {order.step} of {order.notebook}: {error}")
        return Ran(REFUSED)
    if order.kind == "skip":
        return _left_out(order, out, work.seen)
    scratch = tempfile.mkdtemp(prefix="nbvertex-")
    try:
        environ = _environ(given.environ, order, given.kit)
        with workplace.folder(environ) as place:
            workplace.lay_out(place, os.path.join(given.kit, "beside") if given.kit else None, world.files)
            job = work.job(given.values, place, scratch)
            running = _Run(order, work, job, out)
            return running.go(partial(run_job, environ=environ, limit=order.timeout))
    except (needs.NotInstalled, vault.NoSecret) as error:
        _say(f"step {order.step} of {order.notebook}: {error}")
        return Ran(FAILED)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _environ(environ: Mapping[str, str], order: Order, kit: str | None) -> dict[str, str]:
    """The environment variables of the step's process, which finds what came along and what was installed for it."""
    installed = needs.install(order.requirements, exact=not order.own_image)
    site = os.path.join(kit, "site") if kit else ""
    found = [installed, site if os.path.isdir(site) else None, environ.get("PYTHONPATH")]
    path = os.pathsep.join(folder for folder in found if folder)
    held = vault.values(order.secrets, environ)
    return {**environ, **held, "PYTHONPATH": path} if path else {**environ, **held}


def _left_out(order: Order, out: str, seen: deltas.Seen, *, ended: bool = False) -> Ran:
    """The step is not run: its condition does not hold, or an earlier step has ended the run as Run All would."""
    _say(
        f"step {order.step} is not run: {'an earlier step ended the run' if ended else 'its condition does not hold'}"
    )
    wanted = () if ended else order.wanted
    delta = deltas.Delta(order.step, order.index, wanted=wanted, seen=seen, ended=ended)
    deltas.write(out, delta, Done({}, {}, (), (), 0.0))
    _write(out, PAGE, page.page(order, {}))
    return Ran(DONE, delta, told=NOTHING)


NOTHING: Mapping[str, Any] = {HOLDS: False, "items": []}  # what is told where nothing is run


class _Run:
    """A step while it runs, and what becomes of it.

    Args:
        order: the step.
        work: what it does.
        job: what its process is told.
        out: the folder for what it leaves.
    """

    def __init__(self, order: Order, work: plots.Plot, job: Job, out: str) -> None:
        self.order, self.work, self.job, self.out = order, work, job, out
        self.outputs: dict[int, Sequence[Mapping[str, Any]]] = dict(work.outputs)
        self.widgets: Mapping[str, Any] = {}

    def go(self, run_job: Callable[[Job, Callable[[Event], None]], Result]) -> Ran:
        before = workplace.seen(self.job.cwd)
        try:
            result = run_job(self.job, self._hear)
        except attempt.Stopped as stopped:
            _say(f"step {self.order.step} was stopped ({stopped})")
            return Ran(FAILED)
        self.widgets = getattr(result, "widgets", {})
        ran = self._ran(result, before)
        _write(self.out, PAGE, page.page(self.order, self.outputs))
        _write(self.out, NOTEBOOK, page.notebook(self.order, self.outputs, self.widgets))
        return ran

    def _ran(self, result: Result, before: Mapping[str, workplace.Entry]) -> Ran:
        match result:
            case Done(told={"error": why}):
                _say(
                    f"{self._place(self.order.cells[0].position if self.order.cells else None)}: {self._trouble(why)}"
                )
                return Ran(REFUSED if self.order.kind == "gather" else FAILED)
            case Done():
                return self._done(result, before)
            case Failed(ename="SystemExit", evalue="" | "0"):  # the notebook ends the run itself
                return self._done(Done({}, {}, (), (), 0.0), before, ended=True)
            case Failed():
                return self._failed(result)
            case Refused(problems=problems):
                for one in problems:
                    _say(
                        f"{self._place(one.get('cell'))}: `{one['name']}` ({one['type']}): {one['message']} "
                        f"cannot travel to a later step\nhint: {one['hint']}"
                    )
                return Ran(REFUSED)
            case Died(message=message, detail=detail):
                _say(f"{self._place(None)}: {message}" + (f"\n{detail}" if detail else ""))
                return Ran(FAILED)

    def _trouble(self, why: str) -> str:
        task = self.order.task or {}
        if self.order.kind == "gather":
            return f"the rounds of a step that runs over a list must leave the state outside the names alone: {why}"
        return f"{task.get('text', '')}: {why}"

    def _done(self, done: Done, before: Mapping[str, workplace.Entry], *, ended: bool = False) -> Ran:
        if self.order.kind in ("decide", "list"):  # an answer, and nothing that later steps could need
            return Ran(DONE, told=done.told)
        files = workplace.take(self.job.cwd, before, self.out)
        missing = [p for p in self.order.outputs if not os.path.exists(os.path.join(self.job.cwd, p))]
        if missing and not ended:
            _say(f"step {self.order.step} did not write {', '.join(missing)}, which it declares with `out:`")
            return Ran(FAILED)
        files = {**workplace.carry(self.work.files, self.out), **files}
        delta = replace(self.work.delta(done, self.job.cwd), files=files, ended=ended)
        deltas.write(self.out, delta, done)
        return Ran(DONE, replace(delta, folder=self.out), done.measures)

    def _failed(self, failed: Failed) -> Ran:
        said = f"{failed.ename}: {failed.evalue}" if failed.evalue else failed.ename
        _say(f"{self._place(failed.position, failed.line)}: {said}")
        if failed.hint:
            _say(f"hint: {failed.hint}")
        return Ran(FAILED)

    def _place(self, cell: int | None, line: int | None = None) -> str:
        where = f"cell {cell} [step {self.order.step}]" if cell is not None else f"step {self.order.step}"
        return f"{self.order.notebook}, {where}" + (f", line {line}" if line is not None else "")

    # --- what the cells show ------------------------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        match event:
            case Output(output=output):
                _show(output)
            case CellEnded(position=position, outputs=outputs) | Revised(position=position, outputs=outputs):
                self.outputs[position] = outputs
            case _:
                pass


def _show(output: Mapping[str, Any]) -> None:
    """Let whoever reads the log see what a cell shows."""
    kind = output["output_type"]
    if kind == "stream":
        stream = sys.stderr if output["name"] == "stderr" else sys.stdout
        stream.write(output["text"])
        stream.flush()
    elif kind == "error":
        sys.stdout.flush()
        sys.stderr.write(page.plain("\n".join(output["traceback"])) + "\n")
        sys.stderr.flush()
    elif kind in ("execute_result", "display_data"):
        sys.stdout.write(f"{output['data'].get('text/plain', '')}\n")
        sys.stdout.flush()


def _say(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"nbvertex: {text}\n")
    sys.stderr.flush()


def _write(folder: str, name: str, text: str) -> None:
    with open(os.path.join(folder, name), "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(text)
