"""The files of a pipeline for KFP: its document, the readable source that compiles to it, what an image is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nbvertex import container_files, kfp_spec, templating
from nbvertex.errors import ProblemsFound
from nbvertex.kfp_spec import Component, Spec
from nbvertex.pipeline import Parameter
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
        "pipeline.yaml": kfp_spec.as_yaml(kfp_spec.document(spec), head=_head(spec, target)),
        "pipeline.py": templating.render("kfp/pipeline.py.jinja", _values(spec, target)),
        "boot.py": kfp_spec.BOOT,
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
    return f"{position:03d}_{one.names.function}.{'py' if orders.is_plain(text) else 'json'}"


def _cells(one: Component) -> Iterator[tuple[str, str]]:
    for cell in one.step.cells:
        name = cell_name(one, cell.position, cell.source)
        yield (
            f"cells/{name}",
            cell.source if name.endswith(".py") else orders.as_json(orders.worded(cell.source)),
        )


def _values(spec: Spec, target: str) -> dict[str, Any]:
    return {
        "head": f"Written by nbvertex from {spec.pipeline.notebook} for {target}.",
        "digest": spec.digest,
        "kits": len(spec.kit),
        "name": spec.name,
        "description": kfp_spec.description(spec),
        "steps": [_step(spec, one) for one in spec.components],
        "parameters": [_parameter(one) for one in spec.pipeline.parameters],
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "kind": _KINDS.get(parameter.kind, "str"),
        "default": kfp_spec.default_of(parameter),
        "about": " ".join(parameter.description.split()),
    }


def _step(spec: Spec, one: Component) -> dict[str, Any]:
    cells = ", ".join(str(cell.position) for cell in one.step.cells)
    return {
        "function": one.names.function,
        "about": f"Step {one.step.title or one.step.name}, cells {cells}.",
        "before": list(one.before),
        "outputs": list(one.outputs.items()),
        "inputs": [
            (one.inputs[parameter.name], _KINDS.get(parameter.kind, "str"))
            for parameter in one.traveller.parameters
        ],
        "image": one.image,
        "kit": one.kit[0] if one.before else None,
        "cells": [cell_name(one, cell.position, cell.source) for cell in one.step.cells],
        "sources": [(name, spec.names[step].function) for name, step in one.before.items()],
        "given": [(given, name) for name, given in one.inputs.items()],
        "settings": [(method, list(said)) for method, said in _settings(one)],
    }


def _settings(one: Component) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    asked, options = one.step.resources, one.step.options
    shown = one.step.title or one.step.name
    if shown != one.names.task:
        yield "set_display_name", [("", shown)]
    yield "set_caching_options", [("", one.cached)]
    if asked.cpu is not None:
        yield "set_cpu_limit", [("", asked.cpu)]
    if asked.memory is not None:
        yield "set_memory_limit", [("", kfp_spec.memory(asked.memory))]
    if asked.gpu is not None:
        kind, count = kfp_spec.accelerator(asked.gpu)
        yield "set_accelerator_type", [("", kind)]
        yield "set_accelerator_limit", [("", count)]
    if options.retries:
        yield "set_retry", [
            ("", options.retries),
            ("backoff_duration", "10s"), ("backoff_factor", 2.0), ("backoff_max_duration", "3600s"),
        ]  # fmt: skip
