"""Runs a small notebook as steps that have nothing but the runtime, a clean folder, and what their ancestors left."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import making
from running import Bench, Cell, Seen, text_of

from nbvertex import convert, notebook, travel, worker
from nbvertex.errors import Problem
from nbvertex.runtime import alone, attempt, executor, orders, plots
from nbvertex.travel import Part, Traveller

NONE: Mapping[str, Any] = MappingProxyType({})


class Ended(Exception):
    """A container ended with another exit code than 0."""


@dataclass
class Abroad:
    """Steps far from home, in any order in which they may run.

    Args:
        folder: where each leaves its own.
        run_job: runs cells in a process.
        draw: draws the order.
        values: of parameters.
    """

    folder: Path
    run_job: attempt.RunsJobs = attempt.run
    draw: random.Random = field(default_factory=lambda: random.Random(0))
    values: Mapping[str, Any] = field(default_factory=dict)
    shown: dict[int, str] = field(default_factory=dict)
    failure: tuple[int, str] | None = None
    refusals: list[Problem] = field(default_factory=list)

    def run(self, cells: Sequence[Cell]) -> Seen:
        """Run the cells as the steps that their tags say."""
        path = making.write(self.folder / "nb.ipynb", [making.cell(one.source, *one.tags) for one in cells])
        pipeline, problems = convert.check(notebook.read(path))
        if pipeline is None:
            return Seen(refusals=tuple(one for one in problems if one.is_error), begun=False)
        waiting = {one.index: one for one in travel.travellers(pipeline)}
        done: set[int] = set()
        try:
            while waiting:
                ready = [place for place, one in waiting.items() if done.issuperset(one.before.all)]
                one = waiting.pop(self.draw.choice(ready))
                self._step(one)
                done.add(one.index)
                if self.failure is not None:
                    break
        except Ended:
            pass
        return Seen(self.shown, {}, self.failure, tuple(self.refusals))

    def left(self, place: int) -> str:
        """The folder of what a step has left."""
        return str(self.folder / f"left-{place}")

    def _step(self, one: Traveller) -> None:
        """What an engine does with the parts of a step."""
        parts = {part.role: part for part in one.parts}
        out, told = self.left(one.index), NONE
        if "decide" in parts:
            told = self._part(one, parts["decide"], f"{out}-when").told
            if not told[executor.HOLDS]:
                self._part(one, parts["skip"], out)
                return
        if "round" not in parts:
            self._part(one, parts["run"], out)
            return
        if "list" in parts:
            told = self._part(one, parts["list"], f"{out}-items").told
        items = parts["round"].items or executor.answer(executor.ITEMS, told)
        places = list(range(len(items)))
        self.draw.shuffle(places)
        for place in places:
            self._part(one, parts["round"], f"{out}-{place}", item=items[place])
        rounds = tuple(f"{out}-{place}" for place in places)
        self._part(one, parts["gather"], out, rounds=rounds)

    def _part(
        self, one: Traveller, part: Part, out: str, *, item: str = "", rounds: tuple[str, ...] = ()
    ) -> alone.Ran:
        words = [word for text in part.texts for word in orders.worded(text)]
        order = orders.read(json.loads(orders.as_json(part.said)), orders.joined(words))
        given = alone.Given(
            ancestors=[self.left(place) for place in one.before.all],
            rounds=rounds,
            values=self.values,
            item=item,
            environ={**os.environ, "NBVERTEX_PLACE": str(self.folder / "work")},
        )
        ends: list[tuple[worker.Result, str]] = []

        def heard(job: worker.Job, hear: Callable[[worker.Event], None], **settings: Any) -> worker.Result:
            result = self.run_job(job, hear, **settings)
            ends.append((result, job.cwd))
            return result

        ran = alone.run(order, given, out, heard)
        self._look(out, ends[-1] if ends else None, ran)
        return ran

    def _look(self, out: str, end: tuple[worker.Result, str] | None, ran: alone.Ran) -> None:
        """Take note of what can be seen."""
        file = Path(out, plots.CELLS)
        for cell in json.loads(file.read_text())["cells"] if file.exists() else ():
            if cell["execution_count"] is not None:
                text = text_of(cell["outputs"], Path(end[1] if end else "/"))
                self.shown[cell["metadata"]["nbvertex"]["cell"]] = text
        result = end[0] if end else None
        if isinstance(result, worker.Failed):
            self.failure = (result.position, result.ename)
        elif isinstance(result, worker.Died):
            self.failure = (len(self.shown) + 1, f"died ({result.message})")
        elif ran.code == alone.REFUSED:
            said = result.problems if isinstance(result, worker.Refused) else ({"name": "side by side"},)
            self.refusals += [Problem("cannot-travel", str(one)) for one in said]
        if ran.code != alone.DONE:
            raise Ended


def borrowed(bench: Bench) -> attempt.RunsJobs:
    """Runs jobs in children of a warm process, which is faster than an interpreter for each."""

    def run_job(job: worker.Job, hear: Callable[[worker.Event], None], **settings: Any) -> worker.Result:
        return bench.watch(job, hear)

    return run_job
