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

from . import attempt, deltas, needs, page, workplace
from .jobs import CellEnded, Died, Done, Event, Failed, Job, Output, Refused, Result, Revised
from .orders import Order

PAGE, NOTEBOOK = "cells.html", "cells.ipynb"
DONE, FAILED, REFUSED = 0, 1, 2


@dataclass
class Ran:
    """How a step went.

    Args:
        code: the exit code.
        delta: what it left; None where it did not end well.
        metrics: its numbers.
    """

    code: int
    delta: deltas.Delta | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


def run(
    order: Order,
    *,
    ancestors: Sequence[str],
    out: str,
    values: Mapping[str, Any],
    kit: str | None = None,
    environ: Mapping[str, str] = os.environ,
    run_job: attempt.RunsJobs = attempt.run,
) -> Ran:
    """Run a step.

    Args:
        order: the step.
        ancestors: the folders that the steps before it left.
        out: the folder for what it leaves.
        values: of parameters, by name.
        kit: the folder with what came along: ``beside`` holds the modules and files beside the notebook, ``site`` packages.
        environ: the environment variables of its process.
        run_job: runs its cells in a process.

    Returns:
        how it went; what is to be said of it has been written to stderr.
    """
    os.makedirs(out, exist_ok=True)
    try:
        found = [deltas.read(folder) for folder in ancestors]
        if any(delta.ended for delta in found):
            return _nothing(order, out)
        world = deltas.merge(found)
        seen, held = world.inputs(order.wanted)
    except (deltas.Unreadable, deltas.NotTheSame) as error:
        _say(f"step {order.step} of {order.notebook}: {error}")
        return Ran(REFUSED)
    scratch = tempfile.mkdtemp(prefix="nbvertex-")
    try:
        environ = _environ(environ, order, kit, scratch)
        with workplace.folder() as place:
            workplace.lay_out(place, os.path.join(kit, "beside") if kit else None, world.files)
            job = _job(order, seen, held, values, place, scratch)
            return _Run(order, job, seen, out).go(partial(run_job, environ=environ, limit=order.timeout))
    except needs.NotInstalled as error:
        _say(f"step {order.step} of {order.notebook}: {error}")
        return Ran(FAILED)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _environ(environ: Mapping[str, str], order: Order, kit: str | None, scratch: str) -> dict[str, str]:
    """The environment variables of the step's process, which finds what came along and what was installed for it."""
    installed = needs.install(order.requirements, os.path.join(scratch, "site"))
    site = os.path.join(kit, "site") if kit else ""
    found = [installed, site if os.path.isdir(site) else None, environ.get("PYTHONPATH")]
    path = os.pathsep.join(folder for folder in found if folder)
    return {**environ, "PYTHONPATH": path} if path else dict(environ)


def _nothing(order: Order, out: str) -> Ran:
    """An earlier step has ended the run, as Run All would have ended there."""
    _say(f"step {order.step} is not run: an earlier step ended the run")
    delta = deltas.Delta(order.step, order.index, ended=True)
    deltas.write(out, delta, Done({}, {}, (), (), 0.0))
    _write(out, PAGE, page.page(order, {}))
    return Ran(DONE, delta)


def _job(
    order: Order,
    seen: deltas.Seen,
    held: Sequence[deltas.Held],
    values: Mapping[str, Any],
    place: str,
    scratch: str,
) -> Job:
    artifacts, blobs = deltas.hand_out(held, scratch)
    return Job(
        id=order.step,
        cells=order.cells,
        inputs={
            "step": order.step,
            "names": {name: entry for name, entry in seen.names.items() if entry is not None},
            "artifacts": artifacts,
            "imports": list(order.imports),
            "last": order.last,
        },
        blobs=tuple(blobs),
        live=order.live,
        parameters=order.given(values),
        cwd=place,
        scratch=scratch,
        output_limit=order.limit,
        measures=order.measures,
    )


class _Run:
    """A step while it runs, and what becomes of it.

    Args:
        order: the step.
        job: what its process is told.
        seen: what it loads.
        out: the folder for what it leaves.
    """

    def __init__(self, order: Order, job: Job, seen: deltas.Seen, out: str) -> None:
        self.order, self.job, self.seen, self.out = order, job, seen, out
        self.outputs: dict[int, Sequence[dict[str, Any]]] = {}
        self.widgets: Mapping[str, Any] = {}

    def go(self, run_job: Callable[[Job, Callable[[Event], None]], Result]) -> Ran:
        before = workplace.seen(self.job.cwd)
        try:
            result = run_job(self.job, self._hear)
        except attempt.Stopped as stopped:
            _say(f"step {self.order.step} was stopped ({stopped})")
            return Ran(FAILED)
        self.widgets = getattr(result, "widgets", {})
        match result:
            case Done():
                ran = self._done(result, before)
            case Failed(ename="SystemExit", evalue="" | "0"):  # the notebook ends the run itself
                left = Done({}, {}, (), (), 0.0)
                ran = self._done(left, before, ended=True)
            case Failed():
                ran = self._failed(result)
            case Refused(problems=problems):
                for one in problems:
                    _say(
                        f"{self._place(one.get('cell'))}: `{one['name']}` ({one['type']}): {one['message']} "
                        f"cannot travel to a later step\nhint: {one['hint']}"
                    )
                ran = Ran(REFUSED)
            case Died(message=message, detail=detail):
                _say(f"{self._place(None)}: {message}" + (f"\n{detail}" if detail else ""))
                ran = Ran(FAILED)
        _write(self.out, PAGE, page.page(self.order, self.outputs))
        _write(self.out, NOTEBOOK, page.notebook(self.order, self.outputs, self.widgets))
        return ran

    def _done(self, done: Done, before: Mapping[str, workplace.Entry], *, ended: bool = False) -> Ran:
        names, held = deltas.difference(self.seen, done)
        files = workplace.take(self.job.cwd, before, self.out)
        missing = [
            path for path in self.order.outputs if not os.path.exists(os.path.join(self.job.cwd, path))
        ]
        if missing and not ended:
            _say(f"step {self.order.step} did not write {', '.join(missing)}, which it declares with `out:`")
            return Ran(FAILED)
        delta = deltas.Delta(
            self.order.step,
            self.order.index,
            names,
            held,
            files,
            self.order.wanted,
            self.order.draws,
            self.seen,
            ended,
        )
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
