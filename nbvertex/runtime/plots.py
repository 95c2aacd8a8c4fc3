"""What a container's process is to do for an order: run a step or one round of it, gather rounds, decide, list."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import container, deltas, headings
from .closure import OUTSIDE
from .jobs import Done, Job
from .orders import Order

CELLS = "cells.ipynb"


@dataclass(frozen=True)
class Plot:
    """What is to be done.

    Args:
        order: the step.
        seen: what it was given, as later steps check it.
        before: what its process loads, where that is something else.
        held: the artifacts that it loads.
        task: what its process does beside running cells.
        rounds: what its rounds have left, and the state after each.
        round, item: which round it is, counted from 1; 0: none.
        outputs: what its cells have shown already, in its rounds.
        files: what its rounds have written to the working folder, and the folders of the rounds.
        after: the places of the steps whose work it sees.
    """

    order: Order
    seen: deltas.Seen
    before: deltas.Seen
    held: Sequence[deltas.Held]
    task: Mapping[str, Any] | None = None
    rounds: Sequence[tuple[deltas.Delta, deltas.Seen, Sequence[deltas.Held]]] = ()
    round: int = 0
    item: str = ""
    outputs: Mapping[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    files: Mapping[str, tuple[deltas.FileLeft, str]] = field(default_factory=dict)
    after: tuple[int, ...] = ()

    def job(self, values: Mapping[str, Any], place: str, scratch: str) -> Job:
        """What its process is told.

        Args:
            values: of parameters, by name.
            place: the working folder.
            scratch: a folder for what is big.
        """
        order = self.order
        artifacts, blobs = deltas.hand_out([_as_here(one, place, scratch) for one in self.held], scratch)
        task = None if self.task is None else {**self.task, "first": len(blobs)}
        if self.rounds:
            told, more = self._left(scratch)
            task, blobs = {**(task or {}), "rounds": told}, [*blobs, *more]
        runs = order.kind in ("run", "round")
        return Job(
            id=order.step,
            cells=order.cells if runs else (),
            inputs={
                "step": f"{order.step}[]" if self.round else order.step,
                "names": {name: entry for name, entry in self.before.names.items() if entry is not None},
                "artifacts": artifacts,
                "imports": list(order.imports),
                "sources": [cell.source for cell in order.cells],
                "last": order.last and not self.round,
            },
            blobs=tuple(blobs),
            live=order.live,
            parameters=order.given(values) if runs else (),
            cwd=place,
            scratch=scratch,
            output_limit=order.limit,
            measures=order.measures,
            task=task,
        )

    def _left(self, scratch: str) -> tuple[list[dict[str, Any]], list[bytes]]:
        """What the rounds have left, as `rounds.gather` wants it; most of them have much in common."""
        told: list[dict[str, Any]] = []
        blobs: dict[str, bytes] = {}
        for delta, seen, held in self.rounds:
            records, own = deltas.hand_out(held, scratch)
            for record in records:
                if "blob" in record:
                    blobs.setdefault(record["digest"], own[record["blob"]])
            places = {digest: number for number, digest in enumerate(blobs)}
            records = [{**one, "blob": places[one["digest"]]} if "blob" in one else one for one in records]
            names = {name: entry for name, entry in seen.names.items() if entry is not None}
            changed = sorted(name for name in delta.names if name.startswith(OUTSIDE))
            told.append({"names": names, "artifacts": records, "changed": changed})
        return told, list(blobs.values())

    def delta(self, done: Done, place: str) -> deltas.Delta:
        """What it leaves; the working folder tells which files were its own."""
        order = self.order
        inside = (os.path.relpath(path, place) for path in done.files_read)
        names, held = deltas.difference(self.before, done)
        return deltas.Delta(
            order.step,
            order.index,
            names,
            held,
            wanted=order.wanted,
            draws=order.draws,
            seen=self.seen,
            after=self.after,
            place=place,
            read=tuple(sorted(path for path in inside if not path.startswith(".."))),
            round=self.round,
            item=self.item,
            written=tuple(done.told.get("written", ())),
        )


def _as_here(held: deltas.Held, place: str, scratch: str) -> deltas.Held:
    """An artifact with a working folder below that of its step, as one with the same below this."""
    if (
        held.format != "json"
        or held.place in ("", place)
        or not any(e.endswith(":@cwd") for e in held.entries)
    ):
        return held
    with open(held.path, "rb") as file:
        found = container.read_bytes(file.read(), held.digest)
    values = [_moved(value, held.place, place) for value in json.loads(bytes(found.stream))]
    stream = json.dumps(values, separators=(",", ":")).encode()
    data = b"".join(bytes(part) for part in container.pieces("json", held.entries, stream, []))
    digest = hashlib.sha256(data).hexdigest()
    os.makedirs(os.path.join(scratch, deltas.VALUES), exist_ok=True)
    with open(os.path.join(scratch, deltas.VALUES, digest), "wb") as file:
        file.write(data)
    return replace(held, digest=digest, size=len(data), folder=scratch)


def _moved(value: Any, before: str, now: str) -> Any:
    inside = isinstance(value, str) and (value == before or value.startswith(before + os.sep))
    return now + value[len(before) :] if inside else value


def plot(
    order: Order, found: Sequence[deltas.Delta], rounds: Sequence[deltas.Delta], item: str
) -> tuple[Plot, deltas.World]:
    """What is to be done for an order, and the state that it finds.

    Args:
        order: the step.
        found: what the steps before it have left.
        rounds: what its own rounds have left, where it gathers them.
        item: which round it is, from 0, and the item in a few words: ``0: 0.1``.
    """
    world = deltas.merge(found)
    seen, held = world.inputs(order.wanted)
    task = dict(order.task or {})
    after = tuple(sorted(delta.index for delta in found))
    if order.kind == "list" and task["source"] not in world.names:
        raise deltas.Unreadable(f"{task['text']} is not bound")
    if order.kind == "gather":
        ordered = sorted(rounds, key=lambda one: one.round)
        return replace(_gathering(order, world, seen, task, ordered), after=after), world
    made = Plot(order, seen, seen, held, task or None, after=after)
    if order.kind != "round":
        return made, world
    number, _, shown = item.partition(": ")
    task["index"] = int(number)
    task["item"] = (task.pop("items", None) or {}).get(number)
    return replace(made, task=task, round=int(number) + 1, item=shown), world


def _gathering(
    order: Order,
    world: deltas.World,
    seen: deltas.Seen,
    task: dict[str, Any],
    rounds: Sequence[deltas.Delta],
) -> Plot:
    """One step of its rounds: names hold lists of what each round left."""
    for number, one in enumerate(rounds):
        paths = [path for earlier in rounds[:number] for path in deltas.same_files(earlier, one)]
        if paths:
            raise deltas.NotTheSame(
                f"its rounds run side by side, and more than one of them wrote to {', '.join(paths)}: "
                "give each round a file of its own"
            )
    wanted = {*task.pop("gathers"), *(name for one in rounds for name in one.written)}
    lists = sorted(wanted if order.live is None else wanted.intersection(order.live))
    before, first = world.inputs(name for name in lists if name in world.names)
    here = {held.digest for held in world.homes.values()}
    shared = {held.digest: held for held in first}
    left = []
    for one in rounds:
        after = world.copy()
        after.apply(one)
        found, held = after.inputs(lists)
        shared.update((h.digest, h) for h in held if h.digest in here)
        left.append((one, found, held))
    return Plot(
        order,
        seen,
        before,
        tuple(shared.values()),
        {**task, "rounds": [], "lists": lists},
        left,
        outputs=_joined(order, rounds, str(task.get("name", ""))),
        files={path: (file, one.folder) for one in rounds for path, file in one.files.items()},
    )


def _joined(
    order: Order, rounds: Sequence[deltas.Delta], name: str
) -> dict[int, Sequence[Mapping[str, Any]]]:
    """What the cells have shown in all rounds."""
    shown: list[dict[int, Any]] = []
    for one in rounds:
        with open(os.path.join(one.folder, CELLS), encoding="utf-8") as file:
            cells = json.load(file)["cells"]
        shown.append({cell["metadata"]["nbvertex"]["cell"]: cell["outputs"] for cell in cells})
    return {
        cell.position: headings.joined(
            (one.round, f"{name} = {one.item}", outputs[cell.position])
            for one, outputs in zip(rounds, shown, strict=True)
        )
        for cell in order.cells
    }
