"""The files of a pipeline for KFP: its document, the readable source that compiles to it, what an image is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nbvertex import boot, container_files, kfp_graph, kfp_names, kfp_spec, machines, templating
from nbvertex.errors import ProblemsFound
from nbvertex.kfp_graph import Parts
from nbvertex.kfp_spec import Component, Spec
from nbvertex.pipeline import Parameter, Resources
from nbvertex.runtime import orders
from nbvertex.target import Settings

_KINDS = {"int": "int", "float": "float", "bool": "bool", "list": "list", "dict": "dict"}


def files(spec: Spec, settings: Settings, *, target: str) -> dict[str, str]:
    """Every file, by its path.

    Args:
        spec: the pipeline as components.
        settings: how it is written.
        target: for whom.

    Raises:
        ProblemsFound: a step is too big for the words of a command line.
    """
    _check(spec)
    found = {
        "pipeline.yaml": kfp_spec.as_yaml(kfp_graph.document(spec), head=_head(spec, target)),
        "pipeline.py": templating.render("kfp/pipeline.py.jinja", _values(spec, target)),
        "boot.py": boot.BOOT,
        **{f"kit/{number}.txt": piece for number, piece in enumerate(spec.kit)},
        **{f"steps/{one.names.function}.json": one.said for one in spec.components},
    }
    for one in spec.components:
        found |= dict(_cells(one))
    if settings.image is None:
        found |= container_files.files(settings.bundle)
    return found


_MOST = 1_500_000  # characters of all arguments: a system takes 2 MB


def _check(spec: Spec) -> None:
    from nbvertex.errors import Place, Problem

    problems = []
    for one in spec.components:
        size = sum(map(len, kfp_spec.arguments(spec, one)))
        if size > _MOST:
            place = Place(notebook=spec.pipeline.notebook, step=one.step.name)
            problems.append(
                Problem(
                    "too-big",
                    f"what the step is sent takes {size / 1e6:.1f} MB, and a container is started with 1.5 MB at most",
                    place,
                    "put large files into a bucket, and read them from there",
                )
            )
    if problems:
        raise ProblemsFound(problems)


def _head(spec: Spec, target: str) -> str:
    return (
        templating.comment(
            f"Written by nbvertex from {spec.pipeline.notebook} for {target}; pipeline.py compiles to it."
        )
        + "\n"
    )


def cell_name(one: Component, position: int, text: str) -> str:
    """The file of a cell."""
    stem = one.names.function.removesuffix(kfp_names.SUFFIXES[one.part.role])
    return f"{position:03d}_{stem}.{'py' if orders.is_plain(text) else 'json'}"


def _cells(one: Component) -> Iterator[tuple[str, str]]:
    for cell in one.step.cells if one.part.texts else ():
        name = cell_name(one, cell.position, cell.source)
        plain = name.endswith(".py")
        yield f"cells/{name}", cell.source if plain else orders.as_json(orders.worded(cell.source))


_LOOPS = ("item", "each_item", *(f"each_item_{number}" for number in range(2, 1000)))


def _values(spec: Spec, target: str) -> dict[str, Any]:
    named = {one.name for one in spec.pipeline.parameters}
    return {
        "head": f"Written by nbvertex from {spec.pipeline.notebook} for {target}.",
        "digest": spec.digest,
        "kits": len(spec.kit),
        "name": spec.name,
        "description": kfp_spec.description(spec),
        "components": [_component(one) for one in spec.components],
        "loop_item": next(name for name in _LOOPS if name not in named),
        "typed": any(one.part.role == "gather" for one in spec.components),
        "statements": [line for parts in spec.steps.values() for line in _statements(spec, parts)],
        "parameters": [_parameter(one) for one in spec.pipeline.parameters],
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "kind": _KINDS.get(parameter.kind, "str"),
        "default": kfp_spec.default_of(parameter),
        "about": " ".join(parameter.description.split()),
    }


def _component(one: Component) -> dict[str, Any]:
    cells = ", ".join(str(cell.position) for cell in one.step.cells)
    inputs = [
        (one.inputs[parameter.name], _KINDS.get(parameter.kind, "str"))
        for parameter in (one.traveller.parameters if one.inputs else ())
    ]
    return {
        "function": one.names.function,
        "about": f"Step {one.shown}, cells {cells}.",
        "before": list(one.before),
        "rounds": one.part.role == "gather",
        "item": one.part.role == "round",
        "outputs": list(one.outputs.items()),
        "answers": [(name, {"BOOLEAN": "bool", "LIST": "list"}[kind]) for name, kind in one.answers.items()],
        "inputs": inputs,
        "image": one.image,
        "kit": one.kit[0] if one.before else None,
        "cells": [cell_name(one, c.position, c.source) for c in (one.step.cells if one.part.texts else ())],
    }


def _statements(spec: Spec, parts: Parts) -> Iterator[dict[str, Any]]:
    """The lines of the pipeline for one step."""
    depth = 0
    if "decide" in parts:
        yield _call(spec, parts["decide"], 0)
        yield {"kind": "if", "depth": 0, "task": parts["decide"].names.function}
        depth = 1
    if "list" in parts:
        yield _call(spec, parts["list"], depth)
    if "round" in parts:
        lister = kfp_graph.lists(parts)
        listed = None if lister is None else lister.names.function
        yield {"kind": "for", "depth": depth, "task": listed, "items": list(parts["round"].part.items)}
        yield _call(spec, parts["round"], depth + 1)
        yield _call(spec, parts["gather"], depth, rounds=parts["round"].names.function)
    else:
        yield _call(spec, parts["run"], depth)
    last = parts["gather" if "gather" in parts else "run"].names.function
    if "decide" in parts:
        yield {"kind": "else", "depth": 0}
        yield _call(spec, parts["skip"], 1)
        skipped = parts["skip"].names.function
        yield {"kind": "oneof", "depth": 0, "name": _state(parts), "tasks": [last, skipped]}


def _state(parts: Parts) -> str:
    """What the pipeline calls what a step leaves, where that is one of two."""
    return f"{parts['run' if 'run' in parts else 'round'].names.function}_state"


def _source(parts: Parts) -> dict[str, str | None]:
    """Where later steps have what a step leaves from."""
    if "decide" in parts:
        return {"state": _state(parts), "task": None}
    return {"state": None, "task": parts["gather" if "gather" in parts else "run"].names.function}


def _call(spec: Spec, one: Component, depth: int, *, rounds: str | None = None) -> dict[str, Any]:
    return {
        "kind": "call",
        "depth": depth,
        "function": one.names.function,
        "sources": [{"name": name, **_source(spec.steps[step])} for name, step in one.before.items()],
        "given": [(given, name) for name, given in one.inputs.items()],
        "item": one.part.role == "round",
        "rounds": rounds,
        "settings": [(method, list(said)) for method, said in _settings(one)],
    }


def _settings(one: Component) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    asked, options = one.step.resources, one.step.options
    if one.shown != one.names.task:
        yield "set_display_name", [("", one.shown)]
    yield "set_caching_options", [("", one.cached)]
    if one.part.role not in ("run", "round"):
        asked = Resources()
    if asked.cpu is not None:
        yield "set_cpu_limit", [("", asked.cpu)]
    if asked.memory is not None:
        yield "set_memory_limit", [("", machines.memory(asked.memory))]
    if asked.gpu is not None:
        kind, count = kfp_spec.accelerator(asked.gpu)
        yield "set_accelerator_type", [("", kind)]
        yield "set_accelerator_limit", [("", count)]
    if options.retries:
        yield "set_retry", [
            ("", options.retries),
            ("backoff_duration", "10s"), ("backoff_factor", 2.0), ("backoff_max_duration", "3600s"),
        ]  # fmt: skip
