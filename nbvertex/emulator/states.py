"""The states that every kind of job goes through, kept with its resource."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

from nbvertex.emulator.engine import Engine
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schema import Message
from nbvertex.emulator.tasks import TaskFailed
from nbvertex.emulator.world import World

QUEUED, PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLING, CANCELLED, PAUSED, EXPIRED = range(1, 10)
"""The same numbers in JobState and PipelineState."""

FINAL = frozenset({SUCCEEDED, FAILED, CANCELLED, EXPIRED})
INTERNAL, UNAVAILABLE = 13, 14


class Jobs:
    """The jobs of one kind.

    Args:
        world: the emulator.
        engine: runs them.
        collection: where they are kept, for instance `customJobs`.
        state: the field of their state.
        error: the field of what went wrong.
    """

    def __init__(
        self, world: World, engine: Engine, collection: str, state: str = "state", error: str = "error"
    ) -> None:
        self._world = world
        self._engine = engine
        self._collection = collection
        self._state = state
        self._error = error

    def begin(
        self, name: str, work: Callable[[], Coroutine[Any, Any, Callable[[Message], object] | None]]
    ) -> None:
        """Run a job that has been kept as pending.

        Args:
            name: its resource name.
            work: does it; raises TaskFailed where it fails; what it gives changes the resource at its end.
        """
        self._engine.start(name, lambda: self._drive(name, work))

    def cancel(self, name: str) -> None:
        """Ask a job to stop.

        Raises:
            ApiError: there is none, or it has ended.
        """

        def change(job: Message) -> None:
            if getattr(job, self._state) in FINAL:
                said = _name_of(job, self._state)
                raise ApiError("FAILED_PRECONDITION", f"{name} is in state {said} and cannot be cancelled.")
            setattr(job, self._state, CANCELLING)
            self._world.crud.stamp(job, "update_time")

        name = self._world.store.update(name, change).name
        if not self._engine.cancel(name):
            self.end(name, CANCELLED)

    def recover(self) -> None:
        """What was under way when the emulator was stopped has failed; what was to be cancelled is."""
        for job in self._world.store.all(self._collection):
            state = getattr(job, self._state)
            if state == CANCELLING:
                self.end(job.name, CANCELLED)
            elif state in (QUEUED, PENDING, RUNNING):
                stopped = TaskFailed("The emulator was stopped while the job was under way.", UNAVAILABLE)
                self.end(job.name, FAILED, stopped)

    def end(
        self,
        name: str,
        state: int,
        error: TaskFailed | None = None,
        change: Callable[[Message], object] | None = None,
    ) -> None:
        """Enter the state in which a job stays."""

        def enter(job: Message) -> None:
            setattr(job, self._state, state)
            self._world.crud.stamp(job, "end_time", "update_time")
            if error is not None:
                said = getattr(job, self._error)
                said.code, said.message = error.code, error.message
            if change is not None:
                change(job)

        self._world.store.update(name, enter)

    async def _drive(
        self, name: str, work: Callable[[], Coroutine[Any, Any, Callable[[Message], object] | None]]
    ) -> None:
        try:
            self._world.store.update(name, self._run)
            self.end(name, SUCCEEDED, change=await work())
        except TaskFailed as error:
            self.end(name, FAILED, error)
        except asyncio.CancelledError:
            if not self._engine.closing:
                self.end(name, CANCELLED, TaskFailed("CANCELED", 1))
            raise
        except ApiError as error:
            if error.status != "NOT_FOUND":  # it was deleted while it ran
                self.end(name, FAILED, TaskFailed(error.message, error.number))
        except Exception as error:  # a fault of ours is the job's end too, and told
            traceback.print_exc(file=sys.stderr)
            self.end(name, FAILED, TaskFailed(f"Internal error occurred: {error!r}", INTERNAL))

    def _run(self, job: Message) -> None:
        if getattr(job, self._state) == CANCELLING:
            raise asyncio.CancelledError
        setattr(job, self._state, RUNNING)
        self._world.crud.stamp(job, "start_time", "update_time")


def _name_of(job: Message, field: str) -> str:
    kind = job.DESCRIPTOR.fields_by_name[field].enum_type
    return str(kind.values_by_number[getattr(job, field)].name)
