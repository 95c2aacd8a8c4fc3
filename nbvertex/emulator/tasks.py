"""What is known of a task of a running pipeline: its state, its times, what went in and what came out."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Json = Any
TaskState = Literal[
    "PENDING", "RUNNING", "SUCCEEDED", "CANCELLING", "CANCELLED", "FAILED", "SKIPPED", "NOT_TRIGGERED"
]
GOOD: frozenset[TaskState] = frozenset({"SUCCEEDED", "SKIPPED"})
FAILED_PRECONDITION, CANCELED = 9, 1


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact of the metadata store: its resource name, where it lies, its type as the pipeline has it, metadata."""

    name: str
    uri: str
    type: Mapping[str, str]
    metadata: Mapping[str, Json] = field(default_factory=dict)

    def json(self) -> dict[str, Json]:
        """As executors are told of it."""
        return {
            "name": self.name,
            "uri": self.uri,
            "type": dict(self.type),
            "metadata": dict(self.metadata),
        }

    @classmethod
    def of(cls, raw: Mapping[str, Json]) -> Artifact:
        """From what `json` gave."""
        return cls(raw["name"], raw["uri"], raw.get("type", {}), raw.get("metadata", {}))


Artifacts = Mapping[str, tuple[Artifact, ...]]


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a task left."""

    parameters: Mapping[str, Json] = field(default_factory=dict)
    artifacts: Artifacts = field(default_factory=dict)

    def json(self) -> dict[str, Json]:
        """For a file."""
        artifacts = {key: [one.json() for one in held] for key, held in self.artifacts.items()}
        return {"parameters": dict(self.parameters), "artifacts": artifacts}

    @classmethod
    def of(cls, raw: Mapping[str, Json]) -> Outputs:
        """From what `json` gave."""
        artifacts = {key: tuple(map(Artifact.of, held)) for key, held in raw["artifacts"].items()}
        return cls(raw["parameters"], artifacts)


class TaskFailed(Exception):
    """A task failed.

    Args:
        message: what the service says of it.
        code: a number of google.rpc.Code.
    """

    def __init__(self, message: str, code: int = FAILED_PRECONDITION) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass(frozen=True, slots=True)
class Change:
    """A state that a task entered, when, and what had gone wrong."""

    state: TaskState
    at: float
    error: TaskFailed | None = None


@dataclass(slots=True, eq=False)
class Record:
    """A task of a run; it changes as the run goes on.

    Args:
        id: a number unique in the emulator.
        name: the task's name in its DAG, with the number of the iteration within a loop.
        parent: the id of the task that it stands in; None at the top.
        kind: what it does.
    """

    id: int
    name: str
    parent: int | None
    kind: Literal["dag", "container", "importer"]
    created: float
    state: TaskState = "PENDING"
    started: float | None = None
    ended: float | None = None
    error: TaskFailed | None = None
    history: list[Change] = field(default_factory=list)
    parameters: Mapping[str, Json] = field(default_factory=dict)
    artifacts: Artifacts = field(default_factory=dict)
    outputs: Outputs = Outputs()
    jobs: list[str] = field(default_factory=list)


class Journal(Protocol):
    """Hears of every change of a task, and names what is new."""

    def changed(self, record: Record) -> None:
        """A task was made or has entered another state."""
        ...

    def artifact_name(self) -> str:
        """A resource name for a new artifact."""
        ...

    def imported(self, uri: str, schema: Mapping[str, str]) -> str | None:
        """The name of an artifact that was imported from there before; None where there is none."""
        ...


def new_id() -> int:
    """A number as Vertex AI gives to tasks, jobs and artifacts."""
    return random.randrange(10**17, 9 * 10**18)
