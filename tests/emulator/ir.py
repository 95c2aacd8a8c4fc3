"""Compiled pipelines for tests, written as data; what stays unsaid is as kfp leaves it.

pipeline({"a": task("step", n=1), "b": task("step", n=("a", "Output"))}, step=component(inputs={"n": "NUMBER_INTEGER"}))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Any


def component(
    command: list[str] | None = None,
    *,
    inputs: Mapping[str, Any] | None = None,
    outputs: Mapping[str, Any] | None = None,
    artifacts_in: Mapping[str, str] | None = None,
    artifacts_out: Mapping[str, str] | None = None,
    image: str = "python:3.11",
    **more: Any,
) -> Json:
    """A container component; an input is a type, or a whole declaration."""
    return {
        "container": {"image": image, "command": command or ["true"], **more},
        "inputDefinitions": _definitions(inputs, artifacts_in),
        "outputDefinitions": _definitions(outputs, artifacts_out),
    }


def group(tasks: Mapping[str, Json], *, inputs: Any = None, outputs: Any = None, select: Any = None) -> Json:
    """A component that is a DAG; `select` says which outputs of its tasks are its own: `{"out": ("task", "Output")}`."""
    chosen = {key: _selected(one) for key, one in (select or {}).items()}
    return {
        "dag": {"tasks": named(tasks), "outputs": {"parameters": chosen}},
        "inputDefinitions": _definitions(inputs, None),
        "outputDefinitions": _definitions(outputs, None),
    }


def _selected(one: Any) -> Json:
    several = one if isinstance(one, list) else [one]
    selectors = [{"producerSubtask": task, "outputParameterKey": key} for task, key in several]
    if isinstance(one, list):
        return {"valueFromOneof": {"parameterSelectors": selectors}}
    return {"valueFromParameter": selectors[0]}


def _definitions(parameters: Mapping[str, Any] | None, artifacts: Mapping[str, str] | None) -> Json:
    said = {
        key: one if isinstance(one, dict) else {"parameterType": one}
        for key, one in (parameters or {}).items()
    }
    kinds = {
        key: {"artifactType": {"schemaTitle": one, "schemaVersion": "0.0.1"}}
        for key, one in (artifacts or {}).items()
    }
    return {"parameters": said, "artifacts": kinds}


def task(
    name: str, *, after: tuple[str, ...] = (), when: str = "", always: bool = False, **given: Any
) -> Json:
    """A task of component `name`. A pair is another task's output, `input.NAME` the DAG's own input, else a constant.

    `artifacts={"key": ("task", "output")}` are artifacts; `more={...}` is taken as it is.
    """
    artifacts, more = given.pop("artifacts", {}), given.pop("more", {})
    trigger = {"condition": when} if when else {}
    if always:
        trigger["strategy"] = "ALL_UPSTREAM_TASKS_COMPLETED"
    return {
        "componentRef": {"name": name},
        "inputs": {
            "parameters": {key: _source(value) for key, value in given.items()},
            "artifacts": {key: _artifact(value) for key, value in artifacts.items()},
        },
        "dependentTasks": list(after),
        "triggerPolicy": trigger,
        **more,
    }


def _source(value: Any) -> Json:
    if isinstance(value, tuple):
        return {"taskOutputParameter": {"producerTask": value[0], "outputParameterKey": value[1]}}
    if isinstance(value, str) and value.startswith("input."):
        return {"componentInputParameter": value.removeprefix("input.")}
    if isinstance(value, str) and value.startswith("status."):
        return {"taskFinalStatus": {"producerTask": value.removeprefix("status.")}}
    return {"runtimeValue": {"constant": value}}


def _artifact(value: Any) -> Json:
    if isinstance(value, tuple):
        return {"taskOutputArtifact": {"producerTask": value[0], "outputArtifactKey": value[1]}}
    return {"componentInputArtifact": value}


def named(tasks: Mapping[str, Json]) -> Json:
    """The tasks with their names as kfp writes them."""
    return {name: {"taskInfo": {"name": name}, **one} for name, one in tasks.items()}


def loop(one: Json, item: str, items: Any, *, parallelism: int = 0) -> Json:
    """The task, repeated over literal items, or over an input where `items` is its name."""
    over = {"inputParameter": items} if isinstance(items, str) else {"raw": _json(items)}
    iterator = {"parameterIterator": {"itemInput": item, "items": over}}
    return {**one, **iterator, "iteratorPolicy": {"parallelismLimit": parallelism}}


def _json(value: Any) -> str:
    import json

    return json.dumps(value)


def pipeline(
    tasks: Mapping[str, Json], *, inputs: Any = None, select: Any = None, name: str = "p", **components: Any
) -> Json:
    """A whole pipeline of these tasks and components."""
    executors, kept = {}, {}
    for key, one in components.items():
        one = dict(one)
        for kind in ("container", "importer"):
            if kind in one:
                executors[f"exec-{key}"] = {kind: one.pop(kind)}
                one["executorLabel"] = f"exec-{key}"
        kept[key] = one
    root = group(tasks, inputs=inputs, outputs=dict.fromkeys(select or {}, "STRING"), select=select)
    return {
        "pipelineInfo": {"name": name},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "root": root,
        "components": kept,
        "deploymentSpec": {"executors": executors},
    }
