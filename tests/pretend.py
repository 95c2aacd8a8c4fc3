"""A pool whose steps run in the test's own process, one event at a time, in an order that the test draws."""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbvertex import worker
from nbvertex.artifacts import SMALL
from nbvertex.pipeline import Cell, Facts, Flow, Options, Parameter, Pipeline, Step

First: Callable[[Sequence[str]], str] = lambda jobs: jobs[0]  # noqa: E731 - a default that reads well


class Pool:
    """Stands for `worker.Pool`; names hold what JSON can hold, each in an artifact of its own.

    Cells may call ``print``, and ``effect(text)``, which others can see: it is gathered in ``effects``.

    Args:
        choose: which of the running jobs goes on next.
        files: what each step is said to have opened: name -> (read, written).
        effects: gathers what others can see.
    """

    def __init__(
        self,
        choose: Callable[[Sequence[str]], str] = First,
        files: Mapping[str, tuple[Sequence[str], Sequence[str]]] | None = None,
        effects: list[str] | None = None,
    ) -> None:
        self.choose = choose
        self.files = files or {}
        self.effects: list[str] = [] if effects is None else effects
        self.started: list[str] = []  # the steps, in the order they were started
        self.opened = 0
        self.closed = 0
        self._lives: dict[str, Iterator[worker.Event]] = {}
        self._held: set[str] = set()  # jobs that wait
        self._free: set[str] = set()  # jobs that may do what others can see
        self._told: list[worker.Event] = []

    def __call__(self, python: str, **settings: Any) -> Pool:
        """The factory that the runner is given."""
        self.opened += 1
        return self

    def start(self, job: worker.Job) -> None:
        assert job.id not in self._lives
        self.started.append(job.inputs["step"])
        if not job.early:
            self._free.add(job.id)
        self._lives[job.id] = self._life(job)

    def poll(self, timeout: float | None) -> list[worker.Event]:
        if self._told:
            return [self._told.pop(0)]
        ready = [job for job in self._lives if job not in self._held]
        if not ready:
            return []
        job = self.choose(ready)
        event = next(self._lives[job])
        if isinstance(event, worker.Ended):
            del self._lives[job]
        elif isinstance(event, worker.Waiting):
            self._held.add(job)
        return [event]

    def proceed(self, job_id: str) -> None:
        self._free.add(job_id)
        self._held.discard(job_id)

    def stop(self, job_id: str, *, grace: float = 5.0) -> None:
        if self._lives.pop(job_id, None) is not None:
            self._held.discard(job_id)
            self._told.append(worker.Ended(job_id, worker.Died("SIGKILL", None, "killed by SIGKILL")))

    def close(self) -> None:
        self._lives.clear()
        self.closed += 1

    def _life(self, job: worker.Job) -> Iterator[worker.Event]:
        objects: dict[str, Any] = {}
        digests: dict[str, str] = {}
        for record in job.inputs["artifacts"]:
            data = job.blobs[record["blob"]] if "blob" in record else Path(record["path"]).read_bytes()
            if hashlib.sha256(data).hexdigest() != record["digest"]:
                yield worker.Ended(job.id, worker.Died(None, 1, "an artifact is damaged"))
                return
            found = json.loads(data)
            objects.update(found)
            digests.update(dict.fromkeys(found, record["digest"]))
        values = {name: objects[entry] for name, entry in job.inputs["names"].items()}
        values.update({name: value for place, name, value in job.parameters if place == 0})
        for cell in job.cells:
            yield worker.CellStarted(job.id, cell.position, time.time())
            if "effect(" in cell.source and job.id not in self._free:
                yield worker.Waiting(job.id, "effect")
            printed: list[str] = []
            values["print"] = lambda *things, to=printed: to.append(" ".join(map(str, things)) + "\n")
            values["effect"] = self.effects.append
            try:
                exec(compile(cell.source, f"cell {cell.position}", "exec"), values)
                error = None
            except Exception as problem:
                error = problem
            outputs: list[dict[str, Any]] = []
            if printed:
                outputs.append({"output_type": "stream", "name": "stdout", "text": "".join(printed)})
                yield worker.Output(job.id, cell.position, outputs[-1])
            if error is not None:
                lines = tuple(traceback.format_exception_only(error))
                outputs.append(
                    {
                        "output_type": "error",
                        "ename": type(error).__name__,
                        "evalue": str(error),
                        "traceback": list(lines),
                    }
                )
            yield worker.CellEnded(
                job.id, cell.position, time.time(), error is None, cell.count, tuple(outputs)
            )
            if error is not None and not cell.may_fail:
                yield worker.Ended(
                    job.id, worker.Failed(cell.position, type(error).__name__, str(error), lines, 1)
                )
                return
            values.update({name: value for place, name, value in job.parameters if place == cell.position})
        try:
            result = self._result(job, values, objects, digests)
        except OSError as problem:
            result = worker.Died(None, None, f"OSError: {problem}")
        yield worker.Ended(job.id, result)

    def _result(
        self, job: worker.Job, values: dict[str, Any], objects: dict[str, Any], digests: dict[str, str]
    ) -> worker.Result:
        came: dict[str, str] = job.inputs["names"]
        mine = {n: v for n, v in values.items() if n not in ("print", "effect", "__builtins__")}
        outside = {name: value for name, value in mine.items() if name.startswith("outside_")}
        live = set(mine) if job.live is None else {*job.live, *outside} & set(mine)
        names: dict[str, str | None] = {
            name: None for name in came if name not in mine and not name.startswith("@")
        }
        artifacts: list[dict[str, Any]] = []
        blobs: list[bytes] = []
        homes: dict[str, str] = {}
        for name in sorted(live):
            value = mine[name]
            if not isinstance(value, int | float | str | list | dict | bool | None):
                problem = {"name": name, "type": type(value).__name__, "cell": job.cells[-1].position,
                           "message": "a thing", "hint": "keep it within one step"}  # fmt: skip
                return worker.Refused((problem,))
            kept = next((e for e, o in objects.items() if came.get(name) == e and o is value), None)
            entry = kept or f"{job.inputs['step']}:{name}"
            shown = f"@{name.removeprefix('outside_')}" if name in outside else name
            names[shown] = entry
            data = json.dumps({entry: value}).encode()
            digest = homes[entry] = hashlib.sha256(data).hexdigest()
            if digests.get(entry) == digest:
                continue
            record: dict[str, Any] = {
                "digest": digest,
                "size": len(data),
                "format": "json",
                "entries": [entry],
            }
            if len(data) > SMALL:
                record["path"] = str(Path(job.scratch) / f"{job.id}-{len(artifacts)}")
                Path(record["path"]).write_bytes(data)
            else:
                record["blob"] = len(blobs)
                blobs.append(data)
            artifacts.append(record)
        read, written = self.files.get(job.inputs["step"], ((), ()))
        return worker.Done(names, homes, tuple(artifacts), tuple(blobs), 0.0, tuple(read), tuple(written))


def step(name: str, *sources: str, at: int = 1, options: Options | None = None, **facts: Any) -> Step:
    """A step whose cells stand at positions from ``at`` on; ``facts`` are those of the whole step."""
    cells = tuple(
        Cell(
            position=at + offset,
            count=at + offset,
            source=source,
            digest=hashlib.sha256(source.encode()).hexdigest(),
            may_fail="may_fail" in source,
        )
        for offset, source in enumerate(sources)
    )
    needs, live = facts.pop("needs", ()), facts.pop("live", ())
    return Step(
        name=name, cells=cells, facts=Facts(**facts), needs=needs, live=live, options=options or Options()
    )


def pipeline(*steps: Step, parameters: Sequence[Parameter] = (), flows: Sequence[Flow] = ()) -> Pipeline:
    """A pipeline of steps as they are."""
    return Pipeline(
        name="sample", notebook="sample.ipynb", steps=steps, flows=tuple(flows), parameters=tuple(parameters)
    )


def chain(*programs: tuple[str, str], reads: Mapping[str, Sequence[str]] | None = None) -> Pipeline:
    """Steps of one cell (name, source), each after the one before; every name is read by all and kept by all."""
    known: tuple[str, ...] = ()
    steps = []
    for place, (name, source) in enumerate(programs):
        bound = tuple(sorted({*known, *_bound(source)}))
        steps.append(
            step(
                name,
                source,
                at=place + 1,
                reads=known if reads is None else tuple(reads.get(name, ())),
                binds=_bound(source),
                live=bound,
                needs=(programs[place - 1][0],) if place else (),
            )
        )
        known = bound
    return pipeline(*steps)


def _bound(source: str) -> tuple[str, ...]:
    import ast

    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    return tuple(sorted({node.id for node in nodes if isinstance(node.ctx, ast.Store)}))
