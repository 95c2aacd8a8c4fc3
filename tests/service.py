"""A Vertex AI of dictionaries: jobs that run by a clock that only sleeping moves, and faults at any call."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from nbvertex.patience import Fault
from nbvertex.vertex import Call, Upload

REFUSED = "refused"
LOST_BEFORE, LOST_AFTER = "lost-before", "lost-after"  # no reply: the call was not done, or it was
BUSY, LOGGED_OUT = "busy", "logged-out"
PASSING = (LOST_BEFORE, LOST_AFTER, BUSY, LOGGED_OUT)


class Clock:
    """Seconds that pass while somebody sleeps."""

    def __init__(self) -> None:
        self.at = 1_000_000.0

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += max(seconds, 0.001)


class Service:
    """The service, and the door to it.

    Args:
        clock: by which jobs run.
        faults: number of a call, from 1 -> what goes wrong with it; or a function of the call and its number.
        lasts: seconds that a job runs.
        ends: the state in which each job ends, in order of creation; the last one for all others.
        behind: seconds by which lists are late.
    """

    def __init__(
        self,
        clock: Clock,
        faults: Mapping[int, str] | Callable[[Call, int], str | None] | None = None,
        *,
        lasts: float = 10.0,
        ends: tuple[str, ...] = ("SUCCEEDED",),
        behind: float = 0.0,
    ) -> None:
        self.clock, self.lasts, self.ends, self.behind = clock, lasts, ends, behind
        table = faults or {}
        self._fault = table if callable(table) else lambda call, number: table.get(number)
        self.calls: list[str] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, bytes] = {}
        self.lines: dict[str, list[str]] = {}  # a job's id -> what it prints
        self.refreshed = 0
        self.on_create: Callable[[], None] = lambda: None
        self._numbers = itertools.count(1)

    # --- the door -----------------------------------------------------------------------------------------

    def ask(self, call: Call) -> dict[str, Any]:
        return self._done(call, lambda: self._answer(call))

    def put(self, upload: Upload) -> bool:
        return bool(self._done(Call("put", upload.url), lambda: self._put(upload)))

    def read(self, url: str) -> bytes | None:
        found: bytes | None = self._done(Call("read", url), lambda: self.objects.get(url))
        return found

    def refresh(self) -> None:
        self.refreshed += 1

    # --- behind it ----------------------------------------------------------------------------------------

    def _done(self, call: Call, do: Callable[[], Any]) -> Any:
        self.calls.append(call.method)
        wrong = self._fault(call, len(self.calls))
        if wrong == BUSY:
            raise Fault("busy", "quota", what=call.method)
        if wrong == LOGGED_OUT:
            raise Fault("credentials", "expired", what=call.method)
        if wrong == REFUSED:
            raise Fault("refused", "permission denied", what=call.method)
        if wrong == LOST_BEFORE:
            raise Fault("unsure", "connection lost", what=call.method)
        reply = do()
        if wrong == LOST_AFTER:
            raise Fault("unsure", "connection lost", what=call.method)
        return reply

    def _put(self, upload: Upload) -> bool:
        fresh = upload.url not in self.objects
        self.objects.setdefault(upload.url, upload.data)
        return fresh

    def _answer(self, call: Call) -> dict[str, Any]:
        verb = call.method.partition(".")[2]
        if call.method.startswith("POST"):
            return self._log(call)
        if verb.startswith("Create"):
            return self._create(call)
        if verb.startswith("List"):
            return self._list(call)
        name = call.body["name"]
        if name not in self.jobs:
            raise Fault("missing", f"{name} not found")
        if verb.startswith("Cancel"):
            self.jobs[name]["cancelled"] = True
            return {}
        return self._seen(self.jobs[name])

    def _create(self, call: Call) -> dict[str, Any]:
        self.on_create()
        kind = "pipelineJobs" if "pipelineJob" in call.body else "customJobs"
        ident = call.body.get("pipelineJobId") or str(next(self._numbers))
        name = f"{call.body['parent']}/{kind}/{ident}"
        if name in self.jobs:
            raise Fault("exists", f"{name} already exists")
        said = call.body.get("pipelineJob") or call.body["customJob"]
        end = self.ends[min(len(self.jobs), len(self.ends) - 1)]
        self.jobs[name] = {
            "name": name, "labels": said["labels"], "created": self.clock.now(), "end": end, "cancelled": False,
            "createTime": f"{self.clock.now():.3f}",
        }  # fmt: skip
        return self._seen(self.jobs[name])

    def _seen(self, job: dict[str, Any]) -> dict[str, Any]:
        age = self.clock.now() - job["created"]
        state = "PENDING" if age < 2 else "RUNNING" if age < self.lasts else job["end"]
        if job["cancelled"] and state in ("PENDING", "RUNNING"):
            job["end"], job["created"] = "CANCELLED", -1e9
            state = "CANCELLED"
        prefix = "PIPELINE_STATE_" if "pipelineJobs" in job["name"] else "JOB_STATE_"
        told = {key: job[key] for key in ("name", "labels", "createTime")}
        return {
            **told,
            "state": prefix + state,
            **({"error": {"message": "it broke"}} if state == "FAILED" else {}),
        }

    def _list(self, call: Call) -> dict[str, Any]:
        wanted = dict(
            part.removeprefix("labels.").replace('"', "").split("=")
            for part in call.body["filter"].split(" AND ")
        )
        found = [
            self._seen(job)
            for job in self.jobs.values()
            if wanted.items() <= job["labels"].items() and self.clock.now() - job["created"] >= self.behind
        ]
        return {"customJobs": found}

    def _log(self, call: Call) -> dict[str, Any]:
        entries = [
            {"insertId": f"{ident}-{number}", "timestamp": "2026-11-20T12:00:00Z", "textPayload": text,
             "resource": {"labels": {"job_id": ident}}}
            for ident, texts in self.lines.items() if f'"{ident}"' in call.body["filter"]
            for number, text in enumerate(texts)
        ]  # fmt: skip
        return {"entries": entries}

    @property
    def paid(self) -> list[str]:
        """The jobs that were created and that nobody has cancelled."""
        return [name for name, job in self.jobs.items() if not job["cancelled"]]
