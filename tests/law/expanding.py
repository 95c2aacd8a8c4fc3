"""Runs a program straight one of whose steps runs over a list: its cells in a loop, each round on a copy of all names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from running import Bench, Cell, Seen, files_in, text_of

from nbvertex import grammar, worker
from nbvertex.pipeline import Each
from nbvertex.runtime.headings import joined

ROUND = 1000  # a cell of round n has its position and n times this
BETWEEN = 100_000  # from here on are cells that are not the program's


@dataclass(frozen=True, slots=True)
class Looped:
    """A program, one of whose steps runs over a list.

    Args:
        cells: without the mark.
        step: the step.
        text: ``n in [1, 2]``.
    """

    cells: tuple[Cell, ...]
    step: str
    text: str

    @property
    def each(self) -> Each:
        """The list."""
        return grammar.each(self.text)

    def marked(self) -> tuple[Cell, ...]:
        """The cells with the mark."""
        tag = f"step:{self.step}"
        return tuple(
            Cell(cell.source, (*cell.tags, f"each:{self.text}")) if tag in cell.tags else cell
            for cell in self.cells
        )

    def places(self) -> list[int]:
        """The positions of the step's cells, counted from 1."""
        found, inside = [], False
        for position, cell in enumerate(self.cells, 1):
            inside = f"step:{self.step}" in cell.tags if cell.tags else inside
            if inside and cell.runs:
                found.append(position)
        return found


def straight(bench: Bench, looped: Looped, each: Each) -> Seen | None:
    """What Run All means by it; None where it cannot be told, since a round changes what cannot be copied.

    Args:
        bench: where it runs.
        looped: the program.
        each: the list, with the names that become lists, as the pipeline knows it.
    """
    with bench.place() as folder:
        work = folder / "work"
        shown = _Shown(looped)
        job = worker.Job(
            id="straight",
            cells=tuple(_cells(looped, each)),
            inputs={"step": "all", "names": {}, "artifacts": []},
            live=(),
            cwd=str(work),
            scratch=str(folder),
        )
        result = bench.watch(job, shown.hear)
        failure = None
        if isinstance(result, worker.Failed):
            if result.position >= BETWEEN:
                return None
            failure = (result.position % ROUND, result.ename)
        elif isinstance(result, worker.Died):
            failure = (0, f"died ({result.message})")
        found = {position: text_of(outputs, work) for position, outputs in shown.together().items()}
        return Seen(found, files_in(work), failure)


def _cells(looped: Looped, each: Each) -> Iterator[worker.CellJob]:
    running = [position for position, cell in enumerate(looped.cells, 1) if cell.runs]
    numbers = {position: count for count, position in enumerate(running, 1)}
    places = looped.places()
    literals = [item.source for item in looped.each.items or ()]

    def cell(position: int, place: int, source: str) -> worker.CellJob:
        return worker.CellJob(position, numbers[place], source, False)

    def between(place: int, **said: Any) -> worker.CellJob:
        return cell(BETWEEN + place, places[0], _code(said))

    for position in running:
        if position not in places:
            yield cell(position, position, looped.cells[position - 1].source)
        elif position == places[0]:
            names = {"gathers": list(each.gathers), "imports": list(each.imports)}
            yield between(0, do="begin", name=each.name, source="", literals=literals, **names)
            for index in range(len(literals)):
                yield between(3 * index + 1, do="round", index=index)
                for place in places:
                    yield cell(ROUND * (index + 1) + place, place, looped.cells[place - 1].source)
                yield between(3 * index + 2, do="end")
            yield between(ROUND - 1, do="gather", cells=len(places))


def _code(said: Mapping[str, Any]) -> str:
    """A cell that has `runtime.expansion` do something, and shows nothing."""
    code = (
        "import importlib\n"
        "from IPython import get_ipython\n"
        "expansion = importlib.import_module('nbvertex_runtime.expansion')\n"
        "if said['do'] == 'begin':\n"
        "    expansion.current = expansion.Expansion(get_ipython())\n"
        "assert not expansion.current.call(said).get('changed')\n"
    )
    return f"__import__('builtins').exec({code!r}, {{'said': {dict(said)!r}}});"


@dataclass
class _Shown:
    """What the cells of the run have shown, by position, which holds the round.

    Args:
        looped: what runs.
    """

    looped: Looped
    outputs: dict[int, tuple[dict[str, Any], ...]] = field(default_factory=dict)

    def hear(self, event: worker.Event) -> None:
        """Take note of what a cell has shown."""
        if isinstance(event, worker.CellEnded | worker.Revised) and event.position < BETWEEN:
            self.outputs[event.position] = event.outputs

    def together(self) -> dict[int, tuple[Mapping[str, Any], ...]]:
        """The same by the program's own positions, rounds under their headings."""
        each = self.looped.each
        found: dict[int, tuple[Mapping[str, Any], ...]] = {}
        rounds: dict[int, list[tuple[int, str, tuple[dict[str, Any], ...]]]] = {}
        for position, outputs in sorted(self.outputs.items()):
            number, place = divmod(position, ROUND)
            if number:
                item = f"{each.name} = {(each.items or ())[number - 1].source}"
                rounds.setdefault(place, []).append((number, item, outputs))
            else:
                found[place] = outputs
        return {**found, **{place: joined(parts) for place, parts in rounds.items()}}
