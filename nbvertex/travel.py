"""The steps of a pipeline as what travels: each as JSON and the texts of its cells, for a container without nbvertex."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nbvertex import ipython_syntax, plan, precedence
from nbvertex.pipeline import Parameter, Pipeline, Step
from nbvertex.precedence import Before
from nbvertex.runtime import orders

METRICS = "metrics"  # the name of a dict of numbers that counts without a mark


@dataclass(frozen=True, slots=True)
class Traveller:
    """A step that travels.

    Args:
        step: the step.
        index: its place in notebook order.
        before: the steps that must have ended.
        said: the step as `runtime.orders.read` takes it, without its cells' sources.
        texts: these.
        parameters: those that may be injected into it.
        measures: names whose numbers are its metrics.
        values: the names that flow out of it to later steps.
    """

    step: Step
    index: int
    before: Before
    said: Mapping[str, Any]
    texts: tuple[str, ...]
    parameters: tuple[Parameter, ...] = ()
    measures: tuple[str, ...] = ()
    values: tuple[str, ...] = ()

    def needing(self, requirements: tuple[str, ...]) -> Traveller:
        """The same step, for which these must be installed."""
        return replace(self, said={**self.said, "requirements": list(requirements)})


def travellers(pipeline: Pipeline) -> tuple[Traveller, ...]:
    """Every step of a pipeline, in notebook order."""
    planned = plan.make(pipeline, {})
    places = precedence.before(pipeline, planned.steps)
    return tuple(_traveller(pipeline, one, before) for one, before in zip(planned.steps, places, strict=True))


def _traveller(pipeline: Pipeline, planned: plan.Planned, before: Before) -> Traveller:
    step = planned.step
    own = {cell.position for cell in step.cells}
    parameters = tuple(p for p in pipeline.parameters if own & {p.cell, *p.again})
    measures = _measures(step)
    values = _values(pipeline, step)
    said = {
        "format": orders.FORMAT,
        "notebook": pipeline.notebook,
        "pipeline": pipeline.name,
        "step": step.name,
        "index": planned.index,
        "last": planned.last,
        "cells": [_cell(cell) for cell in step.cells],
        "wanted": _listed(planned.wanted),
        "live": _listed(planned.live),
        "imports": list(step.facts.imports),
        "draws": "random" in step.facts.outside,
        "parameters": [_parameter(one, own) for one in parameters],
        "outputs": [path for path in step.options.outputs if "://" not in path],
        "measures": list(measures),
        "values": list(values),
        "timeout": step.options.timeout,
    }
    kept = {
        key: value
        for key, value in said.items()
        if key in _ALWAYS or not (value is None or value is False or value == [])
    }
    return Traveller(
        step,
        planned.index,
        before,
        kept,
        tuple(cell.source for cell in step.cells),
        parameters,
        measures,
        values,
    )


_ALWAYS = ("wanted", "live", "cells")  # an empty list is not the same as none there


def _cell(cell: Any) -> dict[str, Any]:
    said = {"position": cell.position, "count": cell.count}
    return {**said, "may_fail": True} if cell.may_fail else said


def _listed(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)


def _parameter(parameter: Parameter, own: set[int]) -> dict[str, Any]:
    cells = [cell for cell in (parameter.cell, *parameter.again) if cell in own]
    said: dict[str, Any] = {"name": parameter.name, "cells": cells, "kind": parameter.kind}
    if has_default(parameter):
        said |= {"default": parameter.default, "known": True}
    return said


def has_default(parameter: Parameter) -> bool:
    """Whether its default is a literal, and not an expression that only the cell can compute."""
    return parameter.default is not None or parameter.source.strip() in ("", "None")


def _measures(step: Step) -> tuple[str, ...]:
    return (METRICS,) if METRICS in step.facts.binds or METRICS in step.facts.mutates else ()


def _values(pipeline: Pipeline, step: Step) -> tuple[str, ...]:
    """The names that this step gives to later ones and that are no imports or definitions of its own."""
    flowing = {
        name
        for flow in pipeline.flows
        if flow.source == step.name and flow.kind == "value" and not flow.maybe
        for name in flow.names
    }
    code = [ipython_syntax.read(cell.source).tree for cell in step.cells]
    defined = {name for tree in code if tree is not None for name in _defined(tree)}
    own = (flowing & set(step.facts.binds)) - defined - {one.name for one in pipeline.parameters}
    return tuple(sorted(name for name in own if name.isidentifier()))


def _defined(tree: ast.Module) -> Iterator[str]:
    """The names that imports and definitions bind."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in names)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case _:
                pass
