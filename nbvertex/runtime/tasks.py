"""What a step's process does beside running cells: deciding a condition, listing items, being a round, gathering rounds."""

from __future__ import annotations

from typing import Any

from . import condition, heap, items, rounds


class Task:
    """Nothing of the kind: the step runs its cells.

    Args:
        held: the objects of the process.
        said: the task.
        blobs: the bytes that came with the job.
    """

    def __init__(self, held: heap.Heap, said: dict[str, Any], blobs: list[bytes]) -> None:
        self.held, self.said, self.blobs = held, said, blobs

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
        namespace = self.held.shell.user_ns
        bound = {name: namespace[name] for name in self.said["names"] if name in self.held.names}
        return condition.decide(self.said["test"], bound)


class List(Task):
    """``{"source": a name}``."""

    def begin(self) -> dict[str, Any] | None:
        """The items of the list."""
        try:
            found = items.listed(self.held.shell.user_ns[self.said["source"]])
        except items.Unlisted as error:
            return {"error": str(error)}
        return {"items": [items.described(item) for item in found]}


class Round(Task):
    """See `rounds.bind`."""

    def begin(self) -> dict[str, Any] | None:
        """Bind the item."""
        rounds.bind(self.held, self.said)
        return None

    def end(self, live: list[str] | None) -> dict[str, Any]:
        """The names that the round has written."""
        return {"written": rounds.written(self.held, live)}


class Gather(Task):
    """See `rounds.gather`."""

    def begin(self) -> dict[str, Any] | None:
        """Make lists of what the rounds have left."""
        try:
            rounds.gather(self.held, self.said, self.blobs)
        except rounds.StateChanged as error:
            return {"error": str(error)}
        return None


KINDS: dict[str, type[Task]] = {"decide": Decide, "list": List, "round": Round, "gather": Gather}


def of(held: heap.Heap, said: dict[str, Any] | None, blobs: list[bytes]) -> Task:
    """The task that a job has.

    Args:
        held: the objects of the process.
        said: the task; None: only to run the cells.
        blobs: the bytes that came with the job.
    """
    return Task(held, {}, blobs) if said is None else KINDS[said["kind"]](held, said, blobs)
