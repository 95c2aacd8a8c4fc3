"""The notebook is played from above to below: what each cell did, with all that earlier cells made known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nbvertex.dataflow import Analysis
from nbvertex.facts import Told, tell
from nbvertex.names import shells
from nbvertex.pipeline import Cell, Facts, Step
from nbvertex.playing import play
from nbvertex.stage import Outcome, Stage
from nbvertex.trace import Value


@dataclass(frozen=True, slots=True)
class Deed:
    """What one cell did.

    Args:
        step: the place of its step.
        cell: of the model.
        analysis: of its source.
        told: what it did, in names.
        outcome: the same, in objects.
        met: the objects that it can reach by each name it reads.
        shell: names that IPython binds as it runs: ``_``, ``Out``, ``In``.
        needed: the names that it reads itself, or by functions that it has at hand, with the line.
        binds: the names that it may leave bound, with the line.
        kills: the names whose earlier values nobody can get any more once it has ended.
    """

    step: int
    cell: Cell
    analysis: Analysis
    told: Told
    outcome: Outcome
    met: Mapping[str, int]
    shell: frozenset[str]
    needed: Mapping[str, int]
    binds: Mapping[str, int]
    kills: frozenset[str]

    @property
    def facts(self) -> Facts:
        return self.told.facts


def perform(steps: Sequence[Step], analyses: Mapping[int, Analysis]) -> list[Deed]:
    """Play all cells in notebook order."""
    cells = sorted(
        ((cell, number) for number, step in enumerate(steps) for cell in step.cells),
        key=lambda pair: pair[0].position,
    )
    wanted = _shell_names(analyses[cell.position] for cell, _ in cells)
    stage = Stage()
    deeds: list[Deed] = []
    for cell, number in cells:
        analysis = analyses[cell.position]
        outcome = play(stage, analysis.trace)
        told = tell(stage, outcome, analysis.trace)
        met = {name: stage.reach(value.all) for name, value in outcome.given.items()}
        shell = frozenset(name for name in wanted if _written(name, cell, analysis))
        for name in shell:
            stage.bind(name, outcome.shown, 1, sure=False)
        gone, left = analysis.trace.gone, analysis.trace.binds
        deeds.append(
            Deed(
                number, cell, analysis, told, outcome, met, shell,
                needed={name: line for name, line in told.reads.items() if name not in told.defined},
                # a cell that may fail may stop anywhere
                binds={n: line for n, line in told.binds.items() if n in told.bound or (cell.may_fail and n in left)},
                kills=frozenset() if cell.may_fail else analysis.trace.sure | gone,
            )
        )  # fmt: skip
    return deeds


def _shell_names(analyses: Iterable[Analysis]) -> set[str]:
    """The names of IPython's own that some cell reads."""
    return {name for analysis in analyses for name in analysis.facts.reads if shells(name)}


def _written(name: str, cell: Cell, analysis: Analysis) -> bool:
    """Whether IPython binds the name anew as it runs the cell."""
    if name[1:].isdigit() and name != "_":
        return analysis.shows and cell.count == int(name[1:])
    if name.startswith("_i") or name == "In":
        return not name[2:].isdigit() or cell.count == int(name[2:])
    return analysis.shows and name != "_dh"


__all__ = ["Deed", "Value", "perform"]
