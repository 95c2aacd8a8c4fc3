"""A compiled pipeline (KFP v2 intermediate representation) as values: components, tasks, and where inputs come from."""

from __future__ import annotations

from collections.abc import Mapping
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
