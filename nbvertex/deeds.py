"""The notebook is played from above to below: what each cell did, with all that earlier cells made known."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from nbvertex import grammar
from nbvertex.dataflow import Analysis, analyse
from nbvertex.facts import Told, tell
from nbvertex.names import ANNOTATIONS, shells
from nbvertex.pieces import texts
from nbvertex.pipeline import Cell, Each, Facts, Step
from nbvertex.playing import play
from nbvertex.stage import Outcome, Stage
from nbvertex.trace import Value, join


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
        mark: it is no cell, but what the condition and the list of the step read, before its first cell.
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
    mark: bool = False

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
        options = steps[number].options
        if cell is steps[number].cells[0] and (options.when or options.each):
            deeds.append(_marks(stage, steps[number], number))
        analysis = analyses[cell.position]
        before = dict(stage.env) if options.when else {}
        outcome = play(stage, analysis.trace)
        told = tell(stage, outcome, analysis.trace)
        met = {name: stage.reach(value.all) for name, value in outcome.given.items()}
        shell = frozenset(name for name in wanted if _written(name, cell, analysis))
        for name in shell:
            stage.bind(name, outcome.shown, 1, sure=False)
        gone, left = analysis.trace.gone, analysis.trace.binds
        needed = {name: line for name, line in told.reads.items() if name not in told.defined}
        if ANNOTATIONS in shell:  # the same dict is added to
            needed.setdefault(ANNOTATIONS, 1)
        deeds.append(
            Deed(
                number, cell, analysis, told, outcome, met, shell,
                needed=needed,
                # a cell that may fail may stop anywhere
                binds={n: line for n, line in told.binds.items() if n in told.bound or (cell.may_fail and n in left)},
                kills=frozenset() if cell.may_fail or options.when else analysis.trace.sure | gone,
            )
        )  # fmt: skip
        for name, value in before.items():  # the cell may not run
            stage.env[name] = join(stage.env[name], value) if name in stage.env else value
        if options.each and cell is steps[number].cells[-1]:
            _gather(stage, options.each, [deed for deed in deeds if deed.step == number])
    return deeds


def _marks(stage: Stage, step: Step, number: int) -> Deed:
    """What the marks of a step read and bind before its first cell."""
    when, each = step.options.when, step.options.each
    lines = [f"assert ({', '.join(grammar.names(when.test))},)" if when else "", ""]
    if each:
        lines[1] = f"{each.name} = {each.source}" if each.source else f"{each.name} = None"
        if each.items:
            lines[1] = f"{each.name} = [{', '.join(item.source for item in each.items)}][0]"
    analysis = analyse("\n".join(lines))
    outcome = play(stage, analysis.trace)
    told = tell(stage, outcome, analysis.trace)
    shown = [f"when: {when.text}" if when else "", f"each: {each.text}" if each else ""]
    return Deed(
        number,
        msgspec.structs.replace(step.cells[0], source="\n".join(shown), may_fail=False),
        analysis,
        told,
        outcome,
        {name: stage.reach(value.all) for name, value in outcome.given.items()},
        frozenset(),
        needed=dict(told.reads),
        binds=dict(told.binds),
        kills=frozenset(),
        mark=True,
    )


def gathered(each: Each, deeds: Sequence[Deed]) -> tuple[str, ...]:
    """The names that hold lists after a step over a list, as far as that can be seen.

    Args:
        each: the list.
        deeds: of the step's cells.
    """
    bound = {each.name, *(name for deed in deeds for name in deed.binds if not shells(name))}
    return tuple(sorted(bound.difference(imported(deeds))))


def imported(deeds: Sequence[Deed]) -> tuple[str, ...]:
    """The names that cells bind by import statements, and in no other way."""
    found: set[str] = set()
    otherwise: set[str] = set()
    for deed in deeds:
        for node in (node for text in texts(deed.analysis.python) for node in ast.walk(text.tree)):
            match node:
                case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                    found.update(alias.asname or alias.name.partition(".")[0] for alias in aliases)
                case ast.Name(id=name, ctx=ast.Store()):
                    otherwise.add(name)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    otherwise.add(name)
    bound = {name for deed in deeds for name in deed.binds}
    return tuple(sorted((found & bound) - otherwise))


def _gather(stage: Stage, each: Each, deeds: Sequence[Deed]) -> None:
    """What the rounds have bound is now in lists."""
    for name in gathered(each, deeds):
        value = stage.env.get(name)
        if value is not None:
            stage.env[name] = Value(1 << stage.new("list()", holds=value.all))


def _shell_names(analyses: Iterable[Analysis]) -> set[str]:
    """The names of IPython's own that some cell reads."""
    return {name for analysis in analyses for name in analysis.facts.reads if shells(name)}


def _written(name: str, cell: Cell, analysis: Analysis) -> bool:
    """Whether the name is bound anew, or what it holds is added to, as the cell runs."""
    if name == ANNOTATIONS:
        return analysis.annotates
    if name[1:].isdigit() and name != "_":
        return analysis.shows and cell.count == int(name[1:])
    if name.startswith("_i") or name == "In":
        return not name[2:].isdigit() or cell.count == int(name[2:])
    return analysis.shows and name != "_dh"


__all__ = ["Deed", "Value", "perform"]
