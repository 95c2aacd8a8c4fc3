"""ScheduleService: runs that begin when a cron expression says so."""

from __future__ import annotations

import sys
import traceback
from typing import Any

from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.cron import Cron, InvalidCron
from nbvertex.emulator.notebook_jobs import NotebookJobs
from nbvertex.emulator.pipeline_jobs import PipelineJobs
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schema import Message
from nbvertex.emulator.states import FINAL
from nbvertex.emulator.world import World

ACTIVE, PAUSED, COMPLETED = 1, 2, 3
FAULT_PAUSE = 5.0
PATIENCE = 0.2  # seconds between two looks whether a run that holds up another has ended
RUNS = "schedule-runs"
PIPELINE = "/google.cloud.aiplatform.v1.PipelineService/CreatePipelineJob"
NOTEBOOK = "/google.cloud.aiplatform.v1.NotebookService/CreateNotebookExecutionJob"


class Schedules:
    """The schedules.

    Args:
        world: the emulator.
        pipelines: makes pipeline jobs.
        notebooks: makes notebook execution jobs.
    """

    def __init__(self, world: World, pipelines: PipelineJobs, notebooks: NotebookJobs) -> None:
        self._world = world
        self._pipelines = pipelines
        self._notebooks = notebooks

    def serve(self, table: Table) -> None:
        """Answer what is special about them."""
        table.serve(
            "ScheduleService",
            CreateSchedule=self._create,
            UpdateSchedule=self._update,
            PauseSchedule=self._pause,
            ResumeSchedule=self._resume,
        )

    def recover(self) -> None:
        """Of the runs that were missed while no emulator ran, one is made up for."""
        now = self._world.clock.now()
        for schedule in self._world.store.all("schedules"):
            if schedule.state != ACTIVE or not schedule.HasField("next_run_time"):
                continue
            if _seconds(schedule.next_run_time) < now:
                self._world.store.update(schedule.name, lambda one: _stamp(one.next_run_time, now))

    # --- calls --------------------------------------------------------------------------------------------

    def _create(self, call: Call) -> Message:
        asked = call.request.schedule
        self._check(asked)
        schedule = self._world.crud.drafted(call, state=ACTIVE)
        if not schedule.HasField("start_time"):
            schedule.start_time.CopyFrom(schedule.create_time)
        self._plan(schedule, max(self._world.clock.now(), _seconds(schedule.start_time) - 1))
        kept = self._world.store.add(schedule)
        self._world.background.wake()
        return kept

    def _check(self, asked: Message) -> None:
        """Refuse a schedule that cannot be one."""
        if not asked.display_name:
            raise ApiError("INVALID_ARGUMENT", "display_name is required.")
        if asked.WhichOneof("request") is None:
            raise ApiError("INVALID_ARGUMENT", "A schedule needs a request to make.")
        if asked.max_concurrent_run_count < 1:
            raise ApiError("INVALID_ARGUMENT", "max_concurrent_run_count must be at least 1.")
        if asked.max_run_count < 0:
            raise ApiError("INVALID_ARGUMENT", "max_run_count must not be negative.")
        has_both = asked.HasField("end_time") and asked.HasField("start_time")
        if has_both and _seconds(asked.end_time) <= _seconds(asked.start_time):
            raise ApiError("INVALID_ARGUMENT", "end_time must be after start_time.")
        try:
            Cron.parse(asked.cron).after(self._world.clock.now())
        except InvalidCron as error:
            raise ApiError("INVALID_ARGUMENT", f"cron {asked.cron!r} is invalid: {error}.") from error

    def _update(self, call: Call) -> Message:
        """Change it; a new time takes the place of the next run's."""
        before = self._world.store.get(call.request.schedule.name)
        probe = type(before)()
        probe.CopyFrom(before)
        from nbvertex.emulator.crud import merge

        merge(probe, call.request.schedule, list(call.request.update_mask.paths))
        self._check(probe)
        self._world.crud.update(call)

        def change(schedule: Message) -> None:
            if schedule.state == ACTIVE:
                self._plan(schedule, max(self._world.clock.now(), _seconds(schedule.start_time) - 1))

        changed = self._world.store.update(before.name, change)
        self._world.background.wake()
        return changed

    def _pause(self, call: Call) -> Message:
        def change(schedule: Message) -> None:
            if schedule.state != ACTIVE:
                raise ApiError("FAILED_PRECONDITION", f"The schedule {schedule.name} is not active.")
            schedule.state = PAUSED
            self._world.crud.stamp(schedule, "last_pause_time", "update_time")
            schedule.ClearField("next_run_time")

        self._world.store.update(call.request.name, change)
        return call.new("google.protobuf.Empty")

    def _resume(self, call: Call) -> Message:
        def change(schedule: Message) -> None:
            if schedule.state != PAUSED:
                raise ApiError("FAILED_PRECONDITION", f"The schedule {schedule.name} is not paused.")
            schedule.state, schedule.catch_up = ACTIVE, call.request.catch_up
            since = _seconds(schedule.last_pause_time) if call.request.catch_up else self._world.clock.now()
            self._world.crud.stamp(schedule, "last_resume_time", "update_time")
            self._plan(schedule, max(since, _seconds(schedule.start_time) - 1))

        self._world.store.update(call.request.name, change)
        self._world.background.wake()
        return call.new("google.protobuf.Empty")

    # --- runs ---------------------------------------------------------------------------------------------

    def turn(self, now: float) -> float | None:
        """As `background.Turn`: begin what is due."""
        wanted = [self._looked(schedule, now) for schedule in self._world.store.all("schedules")]
        return min((moment for moment in wanted if moment is not None), default=None)

    def _looked(self, schedule: Message, now: float) -> float | None:
        """As `_look`, so that one schedule's fault does not stop the others."""
        try:
            return self._look(schedule, now)
        except Exception:  # a fault of ours; it is told, and tried again
            traceback.print_exc(file=sys.stderr)
            return now + FAULT_PAUSE

    def _look(self, schedule: Message, now: float) -> float | None:
        """Begin what is due of one schedule; when it wants to be looked at again."""
        while schedule.state == ACTIVE and schedule.HasField("next_run_time"):
            due = _seconds(schedule.next_run_time)
            if schedule.HasField("end_time") and due > _seconds(schedule.end_time):
                if now < _seconds(schedule.end_time):
                    return _seconds(schedule.end_time)
                self._world.store.update(schedule.name, _complete)
                return None
            if due > now:
                return due
            active = self._active(schedule)
            limits = (
                schedule.max_concurrent_run_count,
                getattr(schedule, "max_concurrent_active_run_count", 0),
            )
            full = len(active) >= min(limit for limit in limits if limit)
            if full and (schedule.allow_queueing or any(began >= due for began in active.values())):
                return now + PATIENCE  # it is queued, or only seems to overlap because the clock has jumped
            schedule = self._begin(schedule, due, now, skipped=full)
        return None

    def _active(self, schedule: Message) -> dict[str, float]:
        """The runs that have not ended: of each, when it began."""
        began: dict[str, float] = self._world.store.note(RUNS, schedule.name) or {}
        left = {}
        for name, moment in began.items():
            job = self._world.store.find(name)
            state = None if job is None else job.state if hasattr(job, "state") else job.job_state
            if state is not None and state not in FINAL:
                left[name] = moment
        if left != began:
            self._world.store.set_note(RUNS, schedule.name, left)
        return left

    def _begin(self, schedule: Message, due: float, now: float, *, skipped: bool) -> Message:
        """Begin the run that is due, or pass over it; the schedule as it is then."""
        said, error = "", ""
        if not skipped:
            try:
                said = self._made(schedule, due)
            except ApiError as problem:
                error = f"{problem.status}: {problem.message}"

        def change(one: Message) -> None:
            response = one.last_scheduled_run_response
            _stamp(response.scheduled_run_time, due)
            response.run_response = said or error or "Skipped: max_concurrent_run_count was reached."
            if said:
                one.started_run_count += 1
            if one.max_run_count and one.started_run_count >= one.max_run_count:
                _complete(one)
            elif one.state == ACTIVE:
                self._plan(one, due)
            self._world.crud.stamp(one, "update_time")

        if said:
            runs = self._world.store.note(RUNS, schedule.name) or {}
            self._world.store.set_note(RUNS, schedule.name, {**runs, said: now})
        return self._world.store.update(schedule.name, change)

    def _made(self, schedule: Message, due: float) -> str:
        """Make the request of a schedule; the name of what it made."""
        kind = schedule.WhichOneof("request")
        request = type(getattr(schedule, kind))()
        request.CopyFrom(getattr(schedule, kind))
        request.parent = request.parent or schedule.name.partition("/schedules/")[0]
        if kind == "create_pipeline_job_request":
            request.pipeline_job_id = ""
            return str(self._pipelines.create(self._call(PIPELINE, request), schedule.name, due).name)
        request.notebook_execution_job_id = ""
        operation = self._notebooks.create(self._call(NOTEBOOK, request), schedule.name)
        return str(operation.name.partition("/operations/")[0])

    def _call(self, path: str, request: Any) -> Call:
        schema = self._world.schema
        return Call(schema.methods[path], request, self._world.settings.account, "schedule", "v1", schema)

    def _plan(self, schedule: Message, after: float) -> None:
        """Say when the next run is due."""
        _stamp(schedule.next_run_time, Cron.parse(schedule.cron).after(after))


def _complete(schedule: Message) -> None:
    schedule.state = COMPLETED
    schedule.ClearField("next_run_time")


def _seconds(stamp: Any) -> float:
    return float(stamp.ToNanoseconds() / 1e9)


def _stamp(field: Any, moment: float) -> None:
    field.FromNanoseconds(int(moment * 1e6) * 1000)
