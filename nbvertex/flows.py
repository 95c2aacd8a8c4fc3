"""The arrows between steps: who wrote what a step reads, and what may not overtake what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from nbvertex.dataflow import Analysis
from nbvertex.errors import Problem
from nbvertex.pipeline import Facts, Flow, Step, Why


@dataclass(frozen=True, slots=True)
class Connected:
    """Steps that know of each other.

    Args:
        steps: in the order given, with facts, needs and live filled in; cells keep theirs.
        flows: the arrows, by source and target in notebook order.
        problems: cycles, and `after` marks that cannot be kept.
    """

    steps: tuple[Step, ...]
    flows: tuple[Flow, ...] = ()
    problems: tuple[Problem, ...] = ()


def combine(facts: Iterable[Facts]) -> Facts:
    """The facts of code that runs one piece after the other."""
    reads: set[str] = set()
    surely: set[str] = set()
    every: list[Facts] = []
    for one in facts:
        reads |= set(one.reads) - surely
        surely = (surely | set(one.surely)) - set(one.deletes)
        every.append(one)

    def union(name: str) -> tuple[str, ...]:
        return tuple(sorted({item for one in every for item in getattr(one, name)}))

    return Facts(
        reads=tuple(sorted(reads)),
        surely=tuple(sorted(surely)),
        everything=any(one.everything for one in every),
        is_async=any(one.is_async for one in every),
        **{
            name: union(name)
            for name in ("binds", "mutates", "touches", "deletes", "outside", "imports", "files_read",
                         "files_written")
        },
        requirements=tuple(dict.fromkeys(item for one in every for item in one.requirements)),
    )


def connect(steps: Sequence[Step], analyses: Mapping[int, Analysis]) -> Connected:
    """Find the arrows between steps.

    Args:
        steps: in notebook order, with cells (that have facts) and options.
        analyses: of every cell, by its position.
    """
    together = [combine(cell.facts for cell in step.cells) for step in steps]
    flows: list[Flow] = []
    writers: dict[str, tuple[str, Why]] = {}
    needs: list[tuple[str, ...]] = []
    for step, facts in zip(steps, together, strict=True):
        wanted = [name for name in facts.reads if name in writers]
        sources = dict.fromkeys(writers[name][0] for name in wanted)
        needs.append(tuple(sources))
        for source in sources:
            names = tuple(name for name in wanted if writers[name][0] == source)
            flows.append(
                Flow(source=source, target=step.name, kind="value", names=names,
                     written=tuple(writers[name][1] for name in names))
            )
        for cell in step.cells:
            for name in (*cell.facts.binds, *cell.facts.mutates):
                writers[name] = (step.name, Why(cell=cell.position, line=1))
    live: list[tuple[str, ...]] = []
    later: set[str] = set()
    for facts in reversed(together):
        live.append(tuple(sorted(later)))
        later = (later - set(facts.surely)) | set(facts.reads)
    live.reverse()
    return Connected(
        steps=tuple(
            msgspec.structs.replace(step, facts=facts, needs=need, live=keep)
            for step, facts, need, keep in zip(steps, together, needs, live, strict=True)
        ),
        flows=tuple(flows),
    )
