"""Reads a compiled pipeline, as kfp writes it and clients send it."""

from __future__ import annotations

import graphlib
import json
from collections.abc import Iterable, Mapping

from nbvertex.emulator.spec import (
    ArtifactPort,
    Binding,
    Component,
    ComponentInput,
    Constant,
    Container,
    Dag,
    FinalStatus,
    Importer,
    InvalidSpec,
    Iterator,
    Json,
    ParameterInput,
    Pipeline,
    Retry,
    Source,
    Task,
    TaskOutput,
    whole_numbers,
)


def seconds(duration: Json) -> float:
    """A protobuf duration ("3.5s") in seconds."""
    return float(str(duration).rstrip("s") or 0)


def parse(document: Mapping[str, Json]) -> Pipeline:
    """Read a compiled pipeline.

    Args:
        document: the pipeline spec as JSON, in camel case.

    Raises:
        InvalidSpec: something in it is missing or contradicts itself.
    """
    document = whole_numbers(dict(document))
    if "root" not in document:
        raise InvalidSpec("pipeline_spec has no root component")
    executors = document.get("deploymentSpec", {}).get("executors", {})
    components = {
        name: _component(name, raw, executors) for name, raw in document.get("components", {}).items()
    }
    root = _component("root", document["root"], executors)
    if not isinstance(root.body, Dag):
        raise InvalidSpec("the root component has no dag")
    for component in (root, *components.values()):
        for task in component.body.tasks if isinstance(component.body, Dag) else ():
            if task.component not in components:
                raise InvalidSpec(
                    f"task {task.name!r} refers to component {task.component!r}, which is not there"
                )
    return Pipeline(document.get("pipelineInfo", {}).get("name", ""), root, components)


def _component(name: str, raw: Mapping[str, Json], executors: Mapping[str, Json]) -> Component:
    inputs, outputs = raw.get("inputDefinitions", {}), raw.get("outputDefinitions", {})
    body: Dag | Container | Importer
    if "dag" in raw:
        body = _dag(name, raw["dag"])
    elif raw.get("executorLabel") in executors:
        body = _executor(name, executors[raw["executorLabel"]])
    else:
        raise InvalidSpec(f"component {name!r} has neither a dag nor an executor")
    return Component(
        name,
        {key: _parameter(one) for key, one in inputs.get("parameters", {}).items()},
        {key: _port(one) for key, one in inputs.get("artifacts", {}).items()},
        {key: _type(one) for key, one in outputs.get("parameters", {}).items()},
        {key: _port(one) for key, one in outputs.get("artifacts", {}).items()},
        body,
    )


OLD_TYPES = {"INT": "NUMBER_INTEGER", "DOUBLE": "NUMBER_DOUBLE", "STRING": "STRING"}


def _type(raw: Mapping[str, Json]) -> str:
    return str(raw.get("parameterType") or OLD_TYPES.get(str(raw.get("type")), "STRING"))


def _parameter(raw: Mapping[str, Json]) -> ParameterInput:
    return ParameterInput(
        _type(raw), raw.get("defaultValue"), bool(raw.get("isOptional")), tuple(raw.get("literals", ()))
    )


def _port(raw: Mapping[str, Json]) -> ArtifactPort:
    return ArtifactPort(
        dict(raw.get("artifactType", {})),
        bool(raw.get("isArtifactList")),
        bool(raw.get("isOptional")),
        dict(raw.get("metadata", {})),
    )


def _executor(component: str, raw: Mapping[str, Json]) -> Container | Importer:
    if "container" in raw:
        container = raw["container"]
        if not container.get("image"):
            raise InvalidSpec(f"component {component!r} has no image")
        return Container(
            container["image"],
            tuple(container.get("command", ())),
            tuple(container.get("args", ())),
            tuple((one["name"], str(one.get("value", ""))) for one in container.get("env", ())),
            container.get("resources", {}),
        )
    if "importer" in raw:
        importer = raw["importer"]
        uri = _runtime_value(importer.get("artifactUri", {}), f"the importer {component!r}")
        return Importer(
            uri,
            importer.get("typeSchema", {}),
            importer.get("metadata", {}),
            bool(importer.get("reimport")),
        )
    kind = ", ".join(raw) or "nothing"
    raise InvalidSpec(f"component {component!r} has an executor of an unknown kind: {kind}")


def _runtime_value(raw: Mapping[str, Json], where: str) -> Constant | ComponentInput:
    if "runtimeParameter" in raw:
        return ComponentInput(raw["runtimeParameter"])
    if "constant" in raw:
        return Constant(raw["constant"])
    if "constantValue" in raw:  # schema 2.0.0: {"stringValue": ...}, {"intValue": ...}, {"doubleValue": ...}
        (kind, value), *_ = raw["constantValue"].items()
        return Constant(int(value) if kind == "intValue" else value)
    raise InvalidSpec(f"{where} has neither a constant nor a runtime parameter")


def _dag(component: str, raw: Mapping[str, Json]) -> Dag:
    tasks = {name: _task(name, one) for name, one in raw.get("tasks", {}).items()}
    for task in tasks.values():
        for other in task.upstream:
            if other not in tasks:
                raise InvalidSpec(f"task {task.name!r} waits for {other!r}, which is not in its DAG")
    try:
        order = graphlib.TopologicalSorter({t.name: t.upstream for t in tasks.values()}).static_order()
        ordered = tuple(tasks[name] for name in order)
    except graphlib.CycleError as error:
        raise InvalidSpec(f"the tasks of {component!r} wait for one another: {error.args[1]}") from error
    outputs = raw.get("outputs", {})
    parameters = {key: _selected(one) for key, one in outputs.get("parameters", {}).items()}
    artifacts = {
        key: _selectors(one.get("artifactSelectors", ()), "outputArtifactKey")
        for key, one in outputs.get("artifacts", {}).items()
    }
    return Dag(ordered, parameters, artifacts)


def _selected(raw: Mapping[str, Json]) -> tuple[TaskOutput, ...]:
    one = raw.get("valueFromParameter")
    several = [one] if one else raw.get("valueFromOneof", {}).get("parameterSelectors", ())
    return _selectors(several, "outputParameterKey")


def _selectors(raw: Iterable[Mapping[str, str]], key: str) -> tuple[TaskOutput, ...]:
    return tuple(TaskOutput(one["producerSubtask"], one[key]) for one in raw)


def _task(name: str, raw: Mapping[str, Json]) -> Task:
    inputs, trigger = raw.get("inputs", {}), raw.get("triggerPolicy", {})
    caching = raw.get("cachingOptions", {})
    return Task(
        name=name,
        display=raw.get("taskInfo", {}).get("name", name),
        component=raw.get("componentRef", {}).get("name", ""),
        parameters={
            key: Binding(_parameter_source(name, key, one), one.get("parameterExpressionSelector"))
            for key, one in inputs.get("parameters", {}).items()
        },
        artifacts={
            key: Binding(_artifact_source(name, key, one)) for key, one in inputs.get("artifacts", {}).items()
        },
        after=tuple(raw.get("dependentTasks", ())),
        condition=trigger.get("condition"),
        always=trigger.get("strategy") in ("ALL_UPSTREAM_TASKS_COMPLETED", 2),
        iterator=_iterator(raw),
        retry=_retry(raw.get("retryPolicy", {})),
        cached=bool(caching.get("enableCache")),
        cache_key=caching.get("cacheKey") or None,
    )


def _parameter_source(task: str, key: str, raw: Mapping[str, Json]) -> Source:
    if "taskOutputParameter" in raw:
        one = raw["taskOutputParameter"]
        return TaskOutput(one["producerTask"], one["outputParameterKey"])
    if "componentInputParameter" in raw:
        return ComponentInput(raw["componentInputParameter"])
    if "taskFinalStatus" in raw:
        return FinalStatus(raw["taskFinalStatus"]["producerTask"])
    return _runtime_value(raw.get("runtimeValue", {}), f"input {key!r} of task {task!r}")


def _artifact_source(task: str, key: str, raw: Mapping[str, Json]) -> Source:
    if "taskOutputArtifact" in raw:
        one = raw["taskOutputArtifact"]
        return TaskOutput(one["producerTask"], one["outputArtifactKey"])
    if "componentInputArtifact" in raw:
        return ComponentInput(raw["componentInputArtifact"])
    raise InvalidSpec(f"artifact {key!r} of task {task!r} comes from nowhere")


def _iterator(raw: Mapping[str, Json]) -> Iterator | None:
    parallelism = int(raw.get("iteratorPolicy", {}).get("parallelismLimit", 0))
    if "artifactIterator" in raw:
        one = raw["artifactIterator"]
        return Iterator(one["itemInput"], True, one["items"]["inputArtifact"], parallelism=parallelism)
    if "parameterIterator" not in raw:
        return None
    one = raw["parameterIterator"]
    items = one["items"]
    if "raw" in items:
        return Iterator(
            one["itemInput"], False, items=tuple(json.loads(items["raw"])), parallelism=parallelism
        )
    return Iterator(one["itemInput"], False, items["inputParameter"], parallelism=parallelism)


def _retry(raw: Mapping[str, Json]) -> Retry:
    return Retry(
        int(raw.get("maxRetryCount", 0)),
        seconds(raw.get("backoffDuration", 0)),
        float(raw.get("backoffFactor") or 2.0),
        seconds(raw.get("backoffMaxDuration") or 3600),
    )
