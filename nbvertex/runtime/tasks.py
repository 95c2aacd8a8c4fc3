"""What a step's process does beside running cells: deciding a condition, listing items, being a round, gathering rounds."""

from __future__ import annotations

from typing import Any

from . import condition, heap


class Task:
    """Nothing of the kind: the step runs its cells.

    Args:
        held: the objects of the process.
        said: the task.
        blobs: the bytes that came with the job.
    """

    def __init__(self, held: heap.Heap, said: dict[str, Any], blobs: list[bytes]) -> None:
        self.held, self.said, self.blobs = held, said, blobs

    @property
    def namespace(self) -> dict[str, Any]:
        """The notebook's names."""
        found: dict[str, Any] = self.held.shell.user_ns
        return found

    def begin(self) -> dict[str, Any] | None:
        """What comes before the cells; an answer where that is all."""
        return None

    def end(self, live: list[str] | None) -> dict[str, Any]:
        """What is told when everything has been saved."""
        return {}


class Decide(Task):
    """``{"test": the condition, "names": those in it}``."""

    def begin(self) -> dict[str, Any] | None:
        """Whether the condition holds, and why."""
        bound = {name: self.namespace[name] for name in self.said["names"] if name in self.held.names}
        return condition.decide(self.said["test"], bound)


KINDS: dict[str, type[Task]] = {"decide": Decide}


def of(held: heap.Heap, said: dict[str, Any] | None, blobs: list[bytes]) -> Task:
    """The task that a job has.

    Args:
        held: the objects of the process.
        said: the task; None: only to run the cells.
        blobs: the bytes that came with the job.
    """
    return Task(held, {}, blobs) if said is None else KINDS[said["kind"]](held, said, blobs)
