"""What is asked of Vertex AI, as plain data; and what its answers mean: states, names, links."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from nbvertex.config import Profile
from nbvertex.vertex import Call

LABEL, PART = "nbv-submission", "nbv-job"  # labels by which a job is found again
Kind = Literal["pipeline", "job"]
State = Literal["queued", "running", "done", "failed", "interrupted"]
ENDED: frozenset[State] = frozenset({"done", "failed", "interrupted"})
STATES: Mapping[str, State] = {
    "QUEUED": "queued", "PENDING": "queued", "RUNNING": "running", "PAUSED": "queued", "UPDATING": "running",
    "CANCELLING": "running", "SUCCEEDED": "done", "FAILED": "failed", "PARTIALLY_SUCCEEDED": "failed",
    "EXPIRED": "failed", "CANCELLED": "interrupted",
}  # fmt: skip
_METHODS: Mapping[Kind, tuple[str, str, str, str]] = {
    "pipeline": ("PipelineService", "PipelineJob", "pipelineJob", "pipelineJobs"),
    "job": ("JobService", "CustomJob", "customJob", "customJobs"),
}


def parent(profile: Profile) -> str:
    """Where the jobs of a profile are."""
    return f"projects/{profile.project}/locations/{profile.region}"


def create(kind: Kind, where: str, body: Mapping[str, Any], ident: str) -> Call:
    """Create a job.

    Args:
        kind: a pipeline or a custom job.
        where: its parent.
        body: the job.
        ident: its id; a custom job has none of ours.
    """
    service, noun, field, plural = _METHODS[kind]
    said = {"parent": where, field: dict(body)}
    if kind == "pipeline":
        said["pipelineJobId"] = ident
    resource = f"{where}/{plural}/{ident}" if kind == "pipeline" else f"{where}/{plural}"
    return Call(f"{service}.Create{noun}", resource, said)


def get(name: str) -> Call:
    """One job as it is now."""
    service, noun, _, _ = _METHODS[kind_of(name)]
    return Call(f"{service}.Get{noun}", name, {"name": name})


def cancel(name: str) -> Call:
    """Ask for a job to be cancelled."""
    service, noun, _, _ = _METHODS[kind_of(name)]
    return Call(f"{service}.Cancel{noun}", name, {"name": name})


def labelled(kind: Kind, where: str, labels: Mapping[str, str]) -> Call:
    """The jobs that carry some labels, the oldest first."""
    service, noun, _, plural = _METHODS[kind]
    test = " AND ".join(f'labels.{name}="{value}"' for name, value in sorted(labels.items()))
    return Call(
        f"{service}.List{noun}s", f"{where}/{plural}", {"parent": where, "filter": test, "pageSize": 100}
    )


def found(kind: Kind, reply: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The jobs of such a list, the oldest first."""
    jobs: list[dict[str, Any]] = reply.get(_METHODS[kind][3], [])
    return sorted(jobs, key=lambda job: (job.get("createTime", ""), job["name"]))


def kind_of(name: str) -> Kind:
    """What a resource's name says that it is."""
    return "pipeline" if "/pipelineJobs/" in name else "job"


def state_of(job: Mapping[str, Any]) -> State:
    """The state of a job in our words."""
    return STATES.get(re.sub(r"^(PIPELINE|JOB)_STATE_", "", str(job.get("state", ""))), "queued")


def error_of(job: Mapping[str, Any]) -> str | None:
    """Why a job failed, in one line."""
    message = job.get("error", {}).get("message")
    return " ".join(str(message).split()) if message else None


def link(name: str, profile: Profile) -> str:
    """Where the console shows a job."""
    ident, where = quote(name.rpartition("/")[2]), quote(str(profile.region))
    page = (
        f"vertex-ai/locations/{where}/pipelines/runs/{ident}"
        if kind_of(name) == "pipeline"
        else f"agent-platform/locations/{where}/training/{ident}"
    )
    return f"https://console.cloud.google.com/{page}?project={quote(str(profile.project))}"


def stop_command(name: str, profile: Profile) -> str:
    """How to stop a job without nbvertex."""
    if kind_of(name) == "job":
        ident = name.rpartition("/")[2]
        return f"gcloud ai custom-jobs cancel {ident} --region={profile.region} --project={profile.project}"
    return (
        'curl -X POST -H "Authorization: Bearer $(gcloud auth print-access-token)" '
        f"https://{profile.region}-aiplatform.googleapis.com/v1/{name}:cancel"
    )


# --- tasks of a pipeline ----------------------------------------------------------------------------------

TaskState = Literal["queued", "running", "done", "cached", "failed", "skipped"]
_TASKS: Mapping[str, TaskState] = {
    "PENDING": "queued", "RUNNING": "running", "SUCCEEDED": "done", "CANCEL_PENDING": "running",
    "CANCELLING": "running", "CANCELLED": "skipped", "FAILED": "failed", "SKIPPED": "cached",
    "NOT_TRIGGERED": "skipped",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a pipeline, as the service tells of it.

    Args:
        name: its name there.
        state: in our words.
        started, ended: RFC 3339, empty where it has not.
        attempts: how many machines it has had.
        jobs: the resource names of these.
        error: why it failed.
        outputs: name of an output -> the URLs of its artifacts.
        number: its id, unique in the job.
    """

    name: str
    state: TaskState
    started: str = ""
    ended: str = ""
    attempts: int = 1
    jobs: tuple[str, ...] = ()
    error: str | None = None
    outputs: Mapping[str, tuple[str, ...]] | None = None
    number: str = ""


def tasks(job: Mapping[str, Any]) -> Iterator[Task]:
    """The tasks of a pipeline job that the service has told of."""
    for one in job.get("jobDetail", {}).get("taskDetails", ()):
        container = one.get("executorDetail", {}).get("containerDetail", {})
        names = [*container.get("failedMainJobs", ()), container.get("mainJob", "")]
        jobs = tuple(dict.fromkeys(name for name in names if name))
        yield Task(
            name=one.get("taskName", ""),
            state=_TASKS.get(str(one.get("state", "")), "queued"),
            started=one.get("startTime", ""),
            ended=one.get("endTime", ""),
            attempts=max(len(jobs), 1),
            jobs=jobs,
            error=error_of(one),
            outputs={name: _urls(said.get("artifacts", ())) for name, said in one.get("outputs", {}).items()},
            number=str(one.get("taskId", "")),
        )


def _urls(artifacts: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(one["uri"] for one in artifacts if "uri" in one)


# --- logs -------------------------------------------------------------------------------------------------

LOGS = "https://logging.googleapis.com/v2/entries:list"


def logs(project: str, jobs: Iterable[str], since: str = "", page: str = "") -> Call:
    """What jobs have printed.

    Args:
        project: where.
        jobs: resource names of custom jobs.
        since: only what came at that time or later, RFC 3339.
        page: the token of the page that is wanted.
    """
    idents = " OR ".join(f'"{name.rpartition("/")[2]}"' for name in jobs)
    test = f'resource.type="ml_job" AND resource.labels.job_id=({idents})'
    if since:
        test += f' AND timestamp>="{since}"'
    body = {
        "resourceNames": [f"projects/{project}"],
        "filter": test,
        "orderBy": "timestamp asc",
        "pageSize": 1000,
    }
    return Call(f"POST {LOGS}", f"projects/{project}/logs", {**body, "pageToken": page} if page else body)


@dataclass(frozen=True, slots=True)
class Line:
    """An entry of a log: where it stands, of which job, and what was printed."""

    ident: str
    at: str
    job: str
    text: str
    is_error: bool


def lines(reply: Mapping[str, Any]) -> Iterator[Line]:
    """The entries of a page."""
    for entry in reply.get("entries", ()):
        payload = entry.get("jsonPayload", {})
        text = entry.get("textPayload", payload.get("message", ""))
        labels = entry.get("resource", {}).get("labels", {})
        severe = entry.get("severity", "") in ("ERROR", "CRITICAL", "ALERT", "EMERGENCY")
        yield Line(
            entry.get("insertId", ""), entry.get("timestamp", ""), labels.get("job_id", ""), str(text), severe
        )
