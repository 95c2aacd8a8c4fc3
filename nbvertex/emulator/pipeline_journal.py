"""The tasks of a running pipeline as its job shows them, and as the metadata store keeps them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from nbvertex.emulator.lineage import Lineage
from nbvertex.emulator.schema import Message
from nbvertex.emulator.tasks import Change, Record, TaskFailed
from nbvertex.emulator.world import World

PATIENCE = 0.05  # seconds in which changes are gathered before they are written
EXECUTIONS = {"SUCCEEDED": "COMPLETE", "SKIPPED": "CACHED", "FAILED": "FAILED", "CANCELLED": "CANCELLED"}


class PipelineJournal:
    """Hears of the tasks of one pipeline job.

    Args:
        world: the emulator.
        job: the pipeline job's resource name.
        lineage: the run's part of the metadata store.
    """

    def __init__(self, world: World, job: str, lineage: Lineage) -> None:
        self._world = world
        self._job = job
        self._lineage = lineage
        self._records: dict[int, Record] = {}
        self._executions: dict[int, Message] = {}
        self._due: asyncio.TimerHandle | None = None

    def changed(self, record: Record) -> None:
        """As `tasks.Journal`."""
        self._records[record.id] = record
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(PATIENCE, self.flush)

    def artifact_name(self) -> str:
        """As `tasks.Journal`."""
        return self._lineage.artifact_name()

    def imported(self, uri: str, schema: Mapping[str, str]) -> str | None:
        """As `tasks.Journal`."""
        return self._lineage.imported(uri, schema)

    def last(self) -> Callable[[Message], object]:
        """What changes the job at its end, together with its state."""
        if self._due is not None:
            self._due.cancel()
        return self._tell

    def flush(self) -> None:
        """Write what was gathered."""
        self._due = None
        if self._world.store.find(self._job) is not None:
            self._world.store.update(self._job, self._tell)

    def _tell(self, job: Message) -> None:
        for record in self._records.values():
            self._note(record)
        del job.job_detail.task_details[:]
        for record in self._records.values():
            self._detail(job.job_detail.task_details.add(), record)
        self._world.crud.stamp(job, "update_time")

    def _note(self, record: Record) -> None:
        """Keep what the metadata store holds of a task that has ended."""
        known = self._executions.get(record.id)
        wanted = "RUNNING" if record.ended is None else EXECUTIONS.get(record.state)
        if wanted is None or record.started is None:
            return
        if known is None or self._lineage.state_of(known) != wanted:
            self._executions[record.id] = self._lineage.execution(record, wanted)

    def _detail(self, detail: Message, record: Record) -> None:
        detail.task_id, detail.task_name, detail.state = (
            record.id,
            record.name,
            self._state(detail, record.state),
        )
        if record.parent is not None:
            detail.parent_task_id = record.parent
        for field, moment in (
            ("create_time", record.created), ("start_time", record.started), ("end_time", record.ended),
        ):  # fmt: skip
            if moment is not None:
                _stamp(getattr(detail, field), moment)
        for change in record.history:
            self._status(detail, change)
        if record.error is not None:
            _fail(detail.error, record.error)
        if record.jobs:
            container = detail.executor_detail.container_detail
            container.main_job = record.jobs[-1]
            failed = record.jobs if record.state == "FAILED" else record.jobs[:-1]
            container.failed_main_jobs.extend(failed)
        if record.id in self._executions:
            detail.execution.CopyFrom(self._executions[record.id])
        for side, artifacts in (
            (detail.inputs, record.artifacts),
            (detail.outputs, record.outputs.artifacts),
        ):
            for key, held in artifacts.items():
                side[key].artifacts.extend(self._lineage.message(one) for one in held)

    def _status(self, detail: Message, change: Change) -> None:
        status = detail.pipeline_task_status.add(state=self._state(detail, change.state))
        _stamp(status.update_time, change.at)
        if change.error is not None:
            _fail(status.error, change.error)

    @staticmethod
    def _state(detail: Message, state: str) -> int:
        kind = detail.DESCRIPTOR.fields_by_name["state"].enum_type
        return int(kind.values_by_name[state].number)


def _stamp(field: Any, moment: float) -> None:
    field.FromNanoseconds(int(moment * 1e6) * 1000)


def _fail(field: Any, error: TaskFailed) -> None:
    field.code, field.message = error.code, error.message
