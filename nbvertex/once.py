"""A job is created once, whatever goes wrong on the way: after a fault that leaves it open, it is looked for before it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from nbvertex import service
from nbvertex.errors import RemoteError
from nbvertex.patience import PASSES, Fault, Patience
from nbvertex.service import LABEL, PART
from nbvertex.submissions import Job
from nbvertex.vertex import Call, Door, Upload

LOOKS = (0.0, 3.0, 10.0, 30.0)  # seconds before each look: a list may be behind what was just created


class Unknown(RemoteError):
    """Nobody could be asked whether a job was created, so none is made again."""

    code = "remote-unknown"


def uploaded(door: Door, patience: Patience, upload: Upload) -> bool:
    """Put an object into its bucket; doing it twice is doing it once.

    Returns:
        whether it was not there yet.

    Raises:
        RemoteError: it cannot be.
    """
    try:
        return patience.ask(lambda: door.put(upload))
    except Fault as fault:
        raise fault.error() from fault


def labels(submission: str, job: Job) -> dict[str, str]:
    """The labels by which an attempt of a job is found again."""
    return {LABEL: submission, PART: f"{job.part}-{job.attempt}"}


def sent(submission: str, job: Job) -> Call:
    """The call that creates a job, with its labels."""
    body = {**job.body, "labels": {**job.body.get("labels", {}), **labels(submission, job)}}
    return service.create(job.kind, job.where, body, job.ident)


class Maker:
    """Creates the jobs of a submission.

    Args:
        door: to the service.
        patience: how often it is asked.
        submission: the submission's id; every job carries it.
        sleep: waits between two looks.
    """

    def __init__(
        self, door: Door, patience: Patience, submission: str, sleep: Callable[[float], None]
    ) -> None:
        self._door, self._patience, self._submission, self._sleep = door, patience, submission, sleep

    def create(self, job: Job) -> Mapping[str, Any]:
        """Create a job whose row is durable; gives it as the service has it.

        Raises:
            Unknown: nobody can tell whether it was created.
            RemoteError: it was not.
        """
        call = sent(self._submission, job)
        open_ended = False

        def look(fault: Fault) -> Mapping[str, Any] | None:
            nonlocal open_ended
            open_ended = True
            try:
                return self.soon(job, LOOKS)
            except Fault as other:
                raise self._unknown(job, other) from other

        try:
            made = self._patience.ask(lambda: self._door.ask(call), unsure=look)
        except Fault as fault:
            found = self._known(job, fault) if fault.kind == "exists" or open_ended else None
            if found is None:
                raise fault.error() from fault
            return found
        if open_ended:
            self._remove_surplus(job, str(made["name"]))
        return made

    def find(self, job: Job) -> Mapping[str, Any] | None:
        """The job as the service has it; None where it was never created.

        Raises:
            Fault: nobody can tell.
        """
        found = self._all(job)
        return found[0] if found else None

    def _known(self, job: Job, fault: Fault) -> Mapping[str, Any] | None:
        try:
            return self.find(job)
        except Fault as other:
            raise self._unknown(job, other) from fault

    def soon(self, job: Job, looks: Sequence[float]) -> Mapping[str, Any] | None:
        """The job, if it appears within a while; one look is enough for a pipeline, which has an id of ours.

        Args:
            job: as it was sent.
            looks: seconds before each look.

        Raises:
            Fault: nobody can tell.
        """
        for wait in looks if job.kind == "job" else looks[:1]:
            self._sleep(wait)
            found = self.find(job)
            if found is not None:
                return found
        return None

    def _all(self, job: Job) -> list[dict[str, Any]]:
        wanted = labels(self._submission, job)
        if job.kind == "job":
            call = service.labelled("job", job.where, wanted)
            return service.found("job", self._patience.ask(lambda: self._door.ask(call)))
        try:
            call = service.get(f"{job.where}/pipelineJobs/{job.ident}")
            found = self._patience.ask(lambda: self._door.ask(call))
        except Fault as fault:
            if fault.kind == "missing":
                return []
            raise
        return [found] if wanted.items() <= found.get("labels", {}).items() else []

    def _remove_surplus(self, job: Job, kept: str) -> None:
        """A job that came to light only after it was made again is cancelled, so that one is paid for."""
        if job.kind != "job":
            return
        try:
            for one in self._all(job):
                if one["name"] != kept and service.state_of(one) not in service.ENDED:
                    self._patience.ask(partial(self._door.ask, service.cancel(one["name"])))
        except Fault as fault:
            raise self._unknown(job, fault) from fault

    def _unknown(self, job: Job, fault: Fault) -> Unknown:
        return Unknown(
            f"nobody can tell whether the job was created ({fault.message}), so none is created again",
            hint=f"`nbvertex runs show {self._submission}` looks for it by its label",
        )


def is_passing(fault: Fault) -> bool:
    """Whether the service may be well again the next time."""
    return fault.kind in PASSES
