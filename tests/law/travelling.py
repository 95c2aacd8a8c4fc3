"""Runs a small notebook as steps that have nothing but the runtime, a clean folder, and what their ancestors left."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import making
from running import Bench, Cell, Seen, text_of

from nbvertex import convert, notebook, travel, worker
from nbvertex.errors import Problem
from nbvertex.runtime import alone, attempt, orders

PLACES = "/tmp/nbvertex"


@dataclass
class Abroad:
    """Steps far from home.

    Args:
        folder: where each leaves its own.
        run_job: runs cells in a process.
        draw: the order in which steps run that may run in any.
    """

    folder: Path
    run_job: attempt.RunsJobs = attempt.run
    draw: random.Random = field(default_factory=lambda: random.Random(0))
    said: list[str] = field(default_factory=list)

    def run(self, cells: Sequence[Cell], values: Mapping[str, Any] = {}) -> Seen:
        path = making.write(self.folder / "nb.ipynb", [making.cell(one.source, *one.tags) for one in cells])
        pipeline, problems = convert.check(notebook.read(path))
        if pipeline is None:
            return Seen(refusals=tuple(one for one in problems if one.is_error), begun=False)
        waiting = {one.index: one for one in travel.travellers(pipeline)}
        shown: dict[int, str] = {}
        done: set[int] = set()
        while waiting:
            ready = [place for place, one in waiting.items() if done.issuperset(one.before.all)]
            one = waiting.pop(self.draw.choice(ready))
            ran, seen = self._step(one, values)
            shown |= seen.shown
            if ran.code != alone.DONE or seen.failure:
                return Seen(shown, {}, seen.failure, seen.refusals)
            done.add(one.index)
        return Seen(shown)

    def _step(self, one: travel.Traveller, values: Mapping[str, Any]) -> tuple[alone.Ran, Seen]:
        words = [word for text in one.texts for word in orders.worded(text)]
        order = orders.read(one.said, orders.joined(words))
        shown: dict[int, str] = {}
        ends: list[worker.Result] = []

        def heard(job: worker.Job, hear: Callable[[worker.Event], None], **settings: Any) -> worker.Result:
            def listen(event: worker.Event) -> None:
                if isinstance(event, worker.CellEnded | worker.Revised):
                    shown[event.position] = text_of(event.outputs, Path(job.cwd))
                hear(event)

            ends.append(self.run_job(job, listen, **settings))
            return ends[-1]

        ran = alone.run(
            order,
            ancestors=[str(self.folder / f"left-{place}") for place in one.before.all],
            out=str(self.folder / f"left-{one.index}"),
            values=values,
            run_job=heard,
        )
        end = ends[-1] if ends else None
        if isinstance(end, worker.Refused) or (ran.code == alone.REFUSED):
            said = end.problems if isinstance(end, worker.Refused) else ()
            told = [Problem("cannot-travel", str(problem)) for problem in said] or [
                Problem("refused", "side by side")
            ]
            return ran, Seen(shown, {}, None, tuple(told))
        failure = None
        if isinstance(end, worker.Failed):
            failure = (end.position, end.ename)
        elif isinstance(end, worker.Died):
            failure = (len(shown) + 1, f"died ({end.message})")
        return ran, Seen(shown, {}, failure)


def borrowed(bench: Bench) -> attempt.RunsJobs:
    """Runs jobs in children of a warm process, which is faster than an interpreter for each."""

    def run_job(job: worker.Job, hear: Callable[[worker.Event], None], **settings: Any) -> worker.Result:
        pool = bench._borrow()
        pool.start(job)
        while True:
            for event in pool.poll(1.0):
                if isinstance(event, worker.Ended):
                    return event.result
                hear(event)

    return run_job
