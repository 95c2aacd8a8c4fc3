"""A compiled pipeline (KFP v2 intermediate representation) as values: components, tasks, and where inputs come from."""

from __future__ import annotations

import graphlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Json: TypeAlias = Any


class InvalidSpec(ValueError):
    """The document is no pipeline that can be run; the message says where and why."""


@dataclass(frozen=True, slots=True)
class ParameterInput:
    """A declared input parameter.

    Args:
        type: `NUMBER_INTEGER`, `STRING`, ...
        default: its value where none is given; None where there is none.
        optional: it may be left out.
        literals: the only values allowed; empty where all are.
    """

    type: str
    default: Json = None
    optional: bool = False
    literals: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class ArtifactPort:
    """A declared input or output artifact: its type as the document has it, whether a list, whether it may be missing."""

    type: Mapping[str, str]
    is_list: bool = False
    optional: bool = False
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Constant:
    """A value fixed when the pipeline was compiled; strings in it may hold placeholders."""

    value: Json


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """An output of another task of the same DAG."""

    task: str
    key: str


@dataclass(frozen=True, slots=True)
class ComponentInput:
    """An input of the component that the task stands in."""

    name: str


@dataclass(frozen=True, slots=True)
class FinalStatus:
    """How another task of the same DAG ended."""

    task: str


Source: TypeAlias = Constant | TaskOutput | ComponentInput | FinalStatus


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a task's input comes from, and the expression that picks a part of it."""

    source: Source
    selector: str | None = None


@dataclass(frozen=True, slots=True)
class Iterator:
    """What a task is repeated over: literal items, or the items of one of its inputs."""

    item: str
    over_artifacts: bool
    input: str | None = None
    items: tuple[Json, ...] = ()
    parallelism: int = 0


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and with what pauses (in seconds) a failed task is tried again."""

    count: int = 0
    backoff: float = 0.0
    factor: float = 2.0
    longest: float = 3600.0

    def pause(self, attempt: int) -> float:
        """Seconds to wait after this many failed attempts."""
        return min(self.backoff * self.factor ** (attempt - 1), self.longest)


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a DAG.

    Args:
        name: unique in its DAG.
        display: the name to show.
        component: which component it runs.
        parameters, artifacts: where its inputs come from.
        after: tasks that end before it, beside those that its inputs name.
        condition: a CEL expression on its inputs; it is not triggered where that is false.
        always: it runs however the tasks before it ended.
    """

    name: str
    display: str
    component: str
    parameters: Mapping[str, Binding]
    artifacts: Mapping[str, Binding]
    after: tuple[str, ...] = ()
    condition: str | None = None
    always: bool = False
    iterator: Iterator | None = None
    retry: Retry = Retry()
    cached: bool = False
    cache_key: str | None = None

    @property
    def upstream(self) -> tuple[str, ...]:
        """All tasks that end before this one starts."""
        sources = [b.source for b in (*self.parameters.values(), *self.artifacts.values())]
        named = [s.task for s in sources if isinstance(s, TaskOutput | FinalStatus)]
        return tuple(dict.fromkeys((*self.after, *named)))


@dataclass(frozen=True, slots=True)
class Dag:
    """Tasks in an order in which they may run, and which of their outputs are the DAG's."""

    tasks: tuple[Task, ...]
    parameters: Mapping[str, tuple[TaskOutput, ...]] = field(default_factory=dict)
    artifacts: Mapping[str, tuple[TaskOutput, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Container:
    """What a container executor runs; strings may hold placeholders."""

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    resources: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Importer:
    """An artifact that lies somewhere already."""

    uri: Constant | ComponentInput
    type: Mapping[str, str]
    metadata: Mapping[str, Json]
    reimport: bool


@dataclass(frozen=True, slots=True)
class Component:
    """A component: its interface and what it does."""

    name: str
    parameters: Mapping[str, ParameterInput]
    artifacts: Mapping[str, ArtifactPort]
    parameter_outputs: Mapping[str, str]
    artifact_outputs: Mapping[str, ArtifactPort]
    body: Dag | Container | Importer


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A whole compiled pipeline."""

    name: str
    root: Component
    components: Mapping[str, Component]


def whole_numbers(value: Json) -> Json:
    """The value with integral floats as ints: a protobuf Struct knows no other number than the float."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: whole_numbers(item) for key, item in value.items()}
    return value


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
