"""A submission is followed to its end: jobs created when their turn comes, states and logs told, Ctrl-C handed on to the service."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from msgspec.structs import replace

from nbvertex import blamed, once, remote_state, service
from nbvertex.errors import RemoteError
from nbvertex.events import CellOutput, RunEnded, RunEvent, RunStarted, RunState, StepChanged, StepState
from nbvertex.interrupts import Interrupts
from nbvertex.logs import Logs
from nbvertex.once import Maker, Unknown, is_passing
from nbvertex.patience import Fault, Patience
from nbvertex.service import ENDED
from nbvertex.submissions import Job, StepSeen, Submission, Submissions
from nbvertex.vertex import Door, Upload

SOON, SELDOM = 0.5, 10.0  # seconds between two looks, after a change and in the end
QUIET = 60.0  # seconds for which the service may be out of reach before that is said
LATE, AGAIN = 15.0, 2.0  # seconds that the last lines of a failed step are waited for, and between two looks


@dataclass
class Means:
    """What a submission is followed with.

    Args:
        door: to the service.
        book: where it is written down.
        on_event: hears what happens.
        say: is told what is no event: one line each.
        sleep, now, part: to wait, seconds since the epoch, and a random number from 0 to 1.
    """

    door: Door
    book: Submissions
    on_event: Callable[[RunEvent], None] = lambda event: None
    say: Callable[[str], None] = lambda line: None
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time
    part: Callable[[], float] = field(default=lambda: 1.0)

    def patience(self, most: float) -> Patience:
        """To ask again for so many seconds."""
        return Patience(most, refresh=self.door.refresh, now=self.now, sleep=self.sleep, part=self.part)


SHORTLY = (
    0.0,
    2.0,
    5.0,
)  # seconds before each look for a job that may have been created when somebody asked to stop
CREATING, LOOKING, CANCELLING = 300.0, 20.0, 15.0  # seconds of patience with each


class Following:
    """One submission, from its first job to the end of its last.

    Args:
        means: what it is followed with.
        submission: written down already.
        steps: the names of all steps, in notebook order.
    """

    def __init__(self, means: Means, submission: Submission, steps: tuple[str, ...]) -> None:
        self.means, self.submission, self.steps = means, submission, steps
        self.lines: list[tuple[str, str]] = []  # step and text of what was printed last
        self._interrupts = Interrupts()
        self._maker = Maker(means.door, self._patience(CREATING), submission.id, self._sleep)
        self._logs = Logs(
            means.door, means.patience(0.0), str(submission.where.project), means.say, means.now
        )
        self._quiet_since: float | None = None
        self._complained = False

    def run(
        self,
        uploads: Sequence[Upload] = (),
        *,
        wait: bool = True,
        on_created: Callable[[Submission], None] = lambda submission: None,
    ) -> Submission:
        """Upload, create, and follow to the end; a Ctrl-C asks the service to stop what was created, and comes out again.

        Args:
            uploads: what must lie in the bucket before.
            wait: until it has ended; else only until all is created that can be.
            on_created: hears of that.

        Raises:
            RemoteError: a job could not be created, or nobody can tell whether it was; or it may be watched no longer.
            KeyboardInterrupt: somebody has asked to stop.
        """
        self.means.on_event(
            RunStarted(
                run=self.submission.id, pipeline=self.submission.name, steps=self.steps, at=self.means.now()
            )
        )
        with self._interrupts:
            try:
                self._upload(uploads)
                self._interrupts.check()
                self._create_due()
                on_created(self.submission)
                if wait:
                    self._watch()
            except KeyboardInterrupt:
                self._note(cancelled(self.means, self.submission))
                self._end("interrupted")
                raise
        return self.submission

    def _upload(self, uploads: Sequence[Upload]) -> None:
        try:
            for upload in uploads:
                once.uploaded(self.means.door, self._patience(CREATING), upload)
        except RemoteError as error:
            jobs = tuple(replace(job, state="failed", error=error.message) for job in self.submission.jobs)
            self._note(remote_state.closed(replace(self.submission, jobs=jobs), self.means.now))
            raise

    def _sleep(self, seconds: float) -> None:
        with self._interrupts.listening():  # nowhere else: no call is cut in two
            self.means.sleep(seconds)

    def _patience(self, most: float) -> Patience:
        return dataclasses.replace(self.means.patience(most), sleep=self._sleep)

    # --- creating -----------------------------------------------------------------------------------------

    def _create_due(self) -> None:
        """Create the jobs whose turn it is."""
        for job in self.submission.jobs:
            if job.resource is None and job.state == "submitting" and self._is_due(job):
                self._create(job)
                self._interrupts.check()

    def _is_due(self, job: Job) -> bool:
        states = {one.part: one.state for one in self.submission.jobs}
        return all(states[part] == "done" for part in job.after)

    def _create(self, job: Job) -> None:
        job = replace(job, sent=True)
        self._note(self.submission.having(job))  # durable before the service hears of it
        try:
            told = self._maker.create(job)
        except RemoteError as error:
            state = "unknown" if isinstance(error, Unknown) else "failed"
            failed = replace(job, state=state, error=error.message)
            self._note(remote_state.closed(self.submission.having(failed), self.means.now))
            raise
        self._note(remote_state.closed(remote_state.taken(self.submission, job, told), self.means.now))

    def _note(self, submission: Submission) -> None:
        """Take a submission as it is now, make it durable, and tell what has changed."""
        before, self.submission = self.submission, submission
        if submission != before:
            made, known = ([(one.sent, one.resource, one.attempt, one.state == "unknown") for one in jobs]
                           for jobs in (submission.jobs, before.jobs))  # fmt: skip
            self.means.book.write(submission, durable=made != known or submission.over)
        for step in self.steps:
            self._tell(step, before.seen.get(step), submission.seen.get(step))

    def _tell(self, step: str, before: StepSeen | None, now: StepSeen | None) -> None:
        if now is None or (before is not None and (before.state, before.attempt) == (now.state, now.attempt)):
            return
        if before is not None and now.state == "done" and before.state == "queued":
            self._say_step(step, replace(now, state="running"))
        self._say_step(step, now)

    def _say_step(self, step: str, now: StepSeen) -> None:
        started, ended = seconds(now.started), seconds(now.ended)
        self.means.on_event(
            StepChanged(
                run=self.submission.id,
                step=step,
                state=cast(StepState, now.state),
                at=self.means.now(),
                attempt=now.attempt,
                seconds=ended - started if ended and started and now.state in ("done", "failed") else None,
                error=now.error if now.state == "failed" else None,
                again="retry" if now.attempt > 1 and now.state == "running" else None,
            )
        )

    # --- watching -----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        wait = SOON
        while not self._over():
            self._sleep(wait)
            before = self.submission
            self._look()
            self._again()
            self._interrupts.check()
            self._create_due()
            wait = SOON if self.submission != before else min(wait * 1.3, SELDOM)
            self._read()
        self._last_lines()
        self._end("failed" if self.submission.state == "unknown" else cast(RunState, self.submission.state))

    def _end(self, state: RunState) -> None:
        self.means.on_event(
            RunEnded(run=self.submission.id, state=state, at=self.means.now(), error=self.submission.error)
        )

    def _over(self) -> bool:
        return self.submission.over or self.submission.state == "unknown"

    def _look(self) -> None:
        means = self.means
        try:
            found = remote_state.refreshed(
                means.door, self._patience(LOOKING), self._maker, self.submission, now=means.now
            )
        except Fault as fault:
            if not is_passing(fault):
                raise RemoteError(
                    f"the submission can be watched no longer, and goes on: {fault.message}",
                    hint=f"nbvertex runs show {self.submission.id}",
                ) from fault
            self._out_of_reach(fault)
            return
        if self._complained:
            means.say("the service can be reached again")
        self._quiet_since, self._complained = None, False
        self._note(found)

    def _out_of_reach(self, fault: Fault) -> None:
        """The run goes on there whether it is watched or not; so it is waited for."""
        now = self.means.now()
        self._quiet_since = self._quiet_since or now
        if fault.kind == "credentials" and not self._complained:
            self._complained = True
            self.means.say(
                f"waiting for credentials ({fault.message}); the run goes on: gcloud auth application-default login"
            )
        elif now - self._quiet_since > QUIET and not self._complained:
            self._complained = True
            self.means.say(
                f"the service is out of reach ({fault.message}); the run goes on, and is waited for"
            )
        self.means.door.refresh()

    def _again(self) -> None:
        """A job that failed is created once more where its step says so, and only then."""
        for job in self.submission.jobs:
            if job.state == "failed" and job.resource is not None and job.attempt < job.attempts:
                anew = replace(
                    job, attempt=job.attempt + 1, resource=None, state="submitting", error=None, sent=False
                )
                self._note(replace(self.submission.having(anew), state="running", ended=None, error=None))

    # --- logs ---------------------------------------------------------------------------------------------

    def _read(self, *, now: bool = False) -> None:
        if not (now or self._logs.due()):
            return
        owners = remote_state.owners(self.submission)
        jobs = [name for seen in self.submission.seen.values() for name in seen.jobs]
        for line in self._logs.read(jobs):
            step = owners.get(line.job, self.steps[0])
            self.lines.append((step, line.text))
            output = {
                "output_type": "stream",
                "name": "stderr" if line.is_error else "stdout",
                "text": line.text.rstrip("\n") + "\n",
            }
            self.means.on_event(CellOutput(run=self.submission.id, step=step, position=0, output=output))

    def _last_lines(self) -> None:
        """What came last comes late; the line that says where a step failed is waited for."""
        self._read(now=True)
        until = self.means.now() + LATE
        failed = [step for step, seen in self.submission.seen.items() if seen.state == "failed" and seen.jobs]
        while failed and self.means.now() < until and not any(blamed.failure(text) for _, text in self.lines):
            self._sleep(AGAIN)
            self._read(now=True)


def cancelled(means: Means, submission: Submission) -> Submission:
    """Ask the service to cancel every job of a submission that has not ended; says what was asked, and what is left.

    Args:
        means: what the service is asked with.
        submission: which.
    """
    patience = means.patience(CANCELLING)
    maker = Maker(means.door, patience, submission.id, means.sleep)
    for job in submission.jobs:
        if job.state in ENDED:
            continue
        name = job.resource
        try:
            if name is None:
                found = maker.soon(job, SHORTLY) if job.sent else None
                if found is None:
                    open_ended = job.sent and job.kind == "job"  # its list may be behind
                    submission = submission.having(
                        replace(job, state="unknown" if open_ended else "interrupted")
                    )
                    if open_ended:
                        means.say(
                            f"no job was seen; whether one was created after all: nbvertex runs show {submission.id}"
                        )
                    continue
                name = str(found["name"])
            patience.ask(partial(means.door.ask, service.cancel(name)))
        except Fault as fault:
            means.say(f"could not be cancelled, and may go on: {name or job.where} ({fault.message})")
            where = submission.where
            means.say(
                f"to stop it: {service.stop_command(name, where) if name else 'nbvertex runs cancel ' + submission.id}"
            )
            continue
        means.say(f"asked Vertex AI to cancel {name}")
        submission = submission.having(replace(job, resource=name, cancelled=True))
    return remote_state.closed(submission, means.now)


def seconds(moment: str) -> float | None:
    """RFC 3339 as seconds since the epoch."""
    try:
        return dt.datetime.fromisoformat(moment).timestamp() if moment else None
    except ValueError:
        return None
