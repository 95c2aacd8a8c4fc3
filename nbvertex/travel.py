"""The steps of a pipeline as what travels: each as JSON and the texts of its cells, for a container without nbvertex."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import msgspec

from nbvertex import grammar, ipython_syntax, plan, precedence
from nbvertex.pipeline import Cell, Each, Parameter, Pipeline, Step, When
from nbvertex.precedence import Before
from nbvertex.runtime import items, orders

Role: TypeAlias = Literal["run", "decide", "skip", "list", "round", "gather"]


@dataclass(frozen=True, slots=True)
class Part:
    """What one container does for a step.

    Args:
        role: it runs the step, decides its condition, stands in for it where that does not hold, lists what it runs
            over, is one round of it, or gathers its rounds.
        said: as `runtime.orders.read` takes it, without the sources of cells.
        texts: these.
        items: what a round may be given, each in a few words, where that is known.
    """

    role: Role
    said: Mapping[str, Any]
    texts: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Traveller:
    """A step that travels.

    Args:
        step: the step.
        index: its place in notebook order.
        before: the steps that must have ended.
        parts: what its containers do; most steps have one part.
        parameters: those that may be injected into it.
        measures: names whose numbers are its metrics.
        values: the names that flow out of it to later steps.
    """

    step: Step
    index: int
    before: Before
    parts: tuple[Part, ...]
    parameters: tuple[Parameter, ...] = ()
    measures: tuple[str, ...] = ()
    values: tuple[str, ...] = ()

    def on(self, image: str | None) -> tuple[Part, ...]:
        """Its parts, where the steps that name no image run on that one; None: on a plain one of Python."""
        if self.step.resources.image is None and image is None:
            return self.parts
        return tuple(replace(one, said={**one.said, "own_image": True}) for one in self.parts)

    def needing(self, requirements: tuple[str, ...]) -> Traveller:
        """The same step, for which these must be installed."""
        wanted = {"requirements": list(requirements)}
        return replace(self, parts=tuple(replace(one, said={**one.said, **wanted}) for one in self.parts))


def travellers(pipeline: Pipeline) -> tuple[Traveller, ...]:
    """Every step of a pipeline, in notebook order."""
    planned = plan.make(pipeline, {})
    places = precedence.before(pipeline, planned.steps)
    return tuple(_traveller(pipeline, one, before) for one, before in zip(planned.steps, places, strict=True))


def _traveller(pipeline: Pipeline, planned: plan.Planned, before: Before) -> Traveller:
    step = planned.step
    own = {cell.position for cell in step.cells}
    parameters = tuple(p for p in pipeline.parameters if own & {p.cell, *p.again})
    measures = plan.measures(step)
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
        "secrets": list(step.options.secrets),
    }
    texts = tuple(cell.source for cell in step.cells)
    parts = tuple(_parts(step, {k: v for k, v in said.items() if k in _ALWAYS or not _is_nothing(v)}, texts))
    return Traveller(step, planned.index, before, parts, parameters, measures, values)


_ALWAYS = ("wanted", "live", "cells")  # an empty list is not the same as none there


def _is_nothing(value: Any) -> bool:
    return value is None or value is False or value == []


def _parts(step: Step, said: dict[str, Any], texts: tuple[str, ...]) -> Iterator[Part]:
    when, each = step.options.when, step.options.each
    listing = each is not None and each.items is None
    if when is not None:
        yield _decide(when, each if listing else None, said)
        yield _skip(when, said)
        said = _wanting(said, grammar.names(when.test))
    if each is None:
        yield Part("run", said, texts)
        return
    if listing and when is None:
        yield Part("list", _alone(said, _source(each), _list(each)))
    yield _round(each, said, texts)
    task = {
        "kind": "gather",
        "name": each.name,
        "gathers": list(each.gathers),
        "seeds": list(each.seeds),
        "imports": list(each.imports),
    }
    wanting = _wanting(said, (*_source(each), *each.gathers))
    yield Part("gather", {**wanting, "task": task}, texts)


def _wanting(said: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The same, with names that its marks read: whoever comes later checks that they were what they should be."""
    wanted = said["wanted"]
    return {**said, "wanted": None if wanted is None else sorted({*wanted, *names})}


def _alone(said: dict[str, Any], names: tuple[str, ...], task: dict[str, Any]) -> dict[str, Any]:
    """A part that runs no cell."""
    kept = {key: said[key] for key in ("format", "notebook", "pipeline", "step", "index")}
    return {**kept, "cells": [], "wanted": sorted(names), "live": [], "task": task}


def _decide(when: When, each: Each | None, said: dict[str, Any]) -> Part:
    """Decides a condition, and then lists what the step runs over."""
    names = grammar.names(when.test)
    task: dict[str, Any] = {
        "kind": "decide",
        "text": f"when {when.text}",
        "test": msgspec.to_builtins(when.test),
        "names": list(names),
    }
    if each is not None:
        task["then"] = _list(each)
    return Part("decide", _alone(said, names, task))


def _skip(when: When, said: dict[str, Any]) -> Part:
    return Part("skip", _alone(said, grammar.names(when.test), {"kind": "skip"}))


def _source(each: Each) -> tuple[str, ...]:
    return (each.source,) if each.source else ()


def _list(each: Each) -> dict[str, Any]:
    return {"kind": "list", "text": f"each {each.text}: `{each.source}`", "source": each.source}


def _round(each: Each, said: dict[str, Any], texts: tuple[str, ...]) -> Part:
    task: dict[str, Any] = {"kind": "round", "name": each.name, "source": each.source}
    shown: tuple[str, ...] = ()
    if each.items is not None:
        found = [items.described(ast.literal_eval(item.source)) for item in each.items]
        task["items"] = {str(number): one["item"] for number, one in enumerate(found)}
        shown = tuple(f"{number}: {item.source}" for number, item in enumerate(each.items))
    said = {key: value for key, value in said.items() if key != "values"}
    return Part("round", {**_wanting(said, _source(each)), "task": task}, texts, shown)


def _cell(cell: Cell) -> dict[str, Any]:
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
