"""How submitted jobs are now, as the service tells: their states, their steps, and what became of those that nobody saw created."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from nbvertex import service
from nbvertex.once import Maker
from nbvertex.patience import Patience
from nbvertex.runtime import alone, deltas
from nbvertex.service import ENDED, Task
from nbvertex.submissions import Job, StepSeen, Submission, settled
from nbvertex.vertex import Door

_WORST = (
    "failed",
    "running",
    "queued",
    "skipped",
    "cached",
    "done",
)  # of the rounds of a step: which one tells


def refreshed(
    door: Door,
    patience: Patience,
    maker: Maker,
    submission: Submission,
    *,
    now: Callable[[], float] = time.time,
) -> Submission:
    """A submission as it is now.

    Args:
        door: to the service.
        patience: how often it is asked.
        maker: finds jobs by their labels.
        submission: as it was.
        now: seconds since the epoch.

    Raises:
        Fault: the service cannot be asked, or does not let itself be asked.
    """
    for job in submission.jobs:
        if job.state in ENDED:
            continue
        told = _told(door, patience, maker, job)
        if told is not None:
            before, submission = submission, taken(submission, job, told)
            if job.kind == "job" and len(job.steps) > 1:
                submission = _inside(door, patience, before, submission, job)
        elif job.state == "unknown" or (job.resource is None and not submission.over):
            submission = submission.having(replace(job, state="submitting"))
    return closed(submission, now)


def _told(door: Door, patience: Patience, maker: Maker, job: Job) -> Mapping[str, Any] | None:
    """The job as the service has it; None where it has none."""
    if job.resource is None:
        return maker.find(job) if job.sent else None
    call = service.get(job.resource)
    return patience.ask(lambda: door.ask(call))


def taken(submission: Submission, job: Job, told: Mapping[str, Any]) -> Submission:
    """The submission with what the service told of one of its jobs.

    Args:
        submission: as it was.
        job: the job.
        told: the job as the service has it.
    """
    state = service.state_of(told)
    error = service.error_of(told) if state != "done" else None
    job = replace(job, resource=told["name"], state=state, error=error)
    known = {**submission.seen, **_steps(submission, job, told)}
    steps = [step for one in submission.jobs for step in one.steps]
    return replace(submission.having(job), seen={step: known[step] for step in steps if step in known})


def _steps(submission: Submission, job: Job, told: Mapping[str, Any]) -> dict[str, StepSeen]:
    if job.kind == "job":
        return _of_job(job, told)
    folder = _folder(job, str(told["name"]))
    by_step: dict[str, list[tuple[str, Task]]] = {}
    for task in service.tasks(told):
        part = submission.tasks.get(task.name)
        if part is not None:
            by_step.setdefault(part.step, []).append((part.role, task))
    gathered = {part.step for part in submission.tasks.values() if part.role == "gather"}
    seen = {
        step: _seen(parts, folder, "gather" if step in gathered else "run") for step, parts in by_step.items()
    }
    for step in job.steps:
        if job.state in ENDED and seen.get(step, submission.seen.get(step, _QUEUED)).state in (
            "queued",
            "running",
        ):
            before = seen.get(step, _QUEUED)
            seen[step] = replace(before, state="skipped")
    return seen


_QUEUED = StepSeen(state="queued")


def _folder(job: Job, name: str) -> str:
    """Below which the tasks of a pipeline job leave what they make, each in a folder of its own."""
    root = str(job.body.get("runtimeConfig", {}).get("gcsOutputDirectory", "")).rstrip("/")
    return f"{root}/{name.split('/')[1]}/{name.rpartition('/')[2]}"


def _seen(parts: Sequence[tuple[str, Task]], folder: str, main: str) -> StepSeen:
    """A step, from its tasks.

    Args:
        parts: what each does for the step.
        folder: below which they leave what they make.
        main: what the one does that comes last.
    """
    stood_in = any(role == "skip" and task.state in ("done", "cached") for role, task in parts)
    tasks = [task for role, task in parts if role != "skip"] or [task for _, task in parts]
    worst = min(tasks, key=lambda task: _WORST.index(task.state))
    last = next((task for role, task in reversed(parts) if role == main), None)
    state: str = "skipped" if stood_in else worst.state
    if last is None and state in ("done", "cached"):
        state = "running"
    shown = worst if worst.state == "failed" or last is None else last
    return StepSeen(
        state=state,
        attempt=shown.attempts,
        error=worst.error,
        started=min(filter(None, (task.started for task in tasks)), default=""),
        ended=max((task.ended for task in tasks), default="") if all(task.ended for task in tasks) else "",
        jobs=tuple(name for task in tasks for name in task.jobs),
        state_url=next(
            iter((shown.outputs or {}).get("state", ())), f"{folder}/{shown.name}_{shown.number}/state"
        ),
    )


def _of_job(job: Job, told: Mapping[str, Any]) -> dict[str, StepSeen]:
    """All steps of a custom job are as the job is, as far as the service knows."""
    state = {"interrupted": "skipped"}.get(job.state, str(job.state))
    root = _root(told.get("jobSpec") or job.body.get("jobSpec", {}))
    one = StepSeen(
        state=state,
        attempt=job.attempt,
        error=job.error,
        started=told.get("startTime", ""),
        ended=told.get("endTime", ""),
        jobs=(str(told["name"]),),
    )
    return {step: replace(one, state_url=f"{root}/{step}/state" if root else "") for step in job.steps}


def _root(spec: Mapping[str, Any]) -> str:
    """The folder in the bucket below which the steps of a custom job leave what they make."""
    environ = [
        one
        for pool in spec.get("workerPoolSpecs", ())
        for one in pool.get("containerSpec", {}).get("env", ())
    ]
    return next((one["value"] for one in environ if one.get("name") == "NBVERTEX_ROOT"), "")


def _inside(
    door: Door, patience: Patience, before: Submission, submission: Submission, job: Job
) -> Submission:
    """The steps of a job that runs several, one after the other: what a step has left says that it is done."""
    seen, reached = dict(submission.seen), True
    for step in job.steps:
        now, known = seen[step], before.seen.get(step)
        if known is not None and known.state in ("done", "skipped") and reached:
            seen[step] = known
        elif reached and now.state != "queued" and now.state_url:
            left = _left(door, patience, now.state_url)
            reached = left is not None
            seen[step] = replace(now, state=left, error=None) if left else now
        elif not reached:
            state = {"running": "queued", "failed": "skipped"}.get(now.state, now.state)
            seen[step] = replace(now, state=state, error=None)
    return replace(submission, seen=seen)


def _left(door: Door, patience: Patience, url: str) -> str | None:
    """The state of a step, from what it has left: one that was not run has no cells; None: it has not ended well."""
    if patience.ask(lambda: door.read(f"{url}/{deltas.STATE}")) is None:
        return None
    return "skipped" if patience.ask(lambda: door.read(f"{url}/{alone.NOTEBOOK}")) is None else "done"


def owners(submission: Submission) -> dict[str, str]:
    """Id of a custom job -> the step whose lines it prints: of several in one job the one that is running, or came last."""
    found: dict[str, str] = {}
    for step, seen in submission.seen.items():
        for name in seen.jobs:
            ident = name.rpartition("/")[2]
            before = submission.seen[found[ident]].state if ident in found else "queued"
            if before == "queued" or (before == "done" and seen.state in ("running", "done", "failed")):
                found[ident] = step
    return found


def closed(submission: Submission, now: Callable[[], float]) -> Submission:
    """The submission with its own state, which follows from those of its jobs."""
    state = settled(submission.jobs)
    error = next((job.error for job in submission.jobs if job.error), None)
    ended = submission.ended or now() if state in ENDED else None
    return replace(submission, state=state, error=error, ended=ended)
