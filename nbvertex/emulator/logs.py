"""Cloud Logging's entries: what jobs print and clients write, and how both are read again."""

from __future__ import annotations

import secrets
from typing import Any

from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.clock import Clock
from nbvertex.emulator.crud import paged
from nbvertex.emulator.filters import Filter, seconds
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schema import Message, Schema
from nbvertex.emulator.store import Store

ENTRY = "google.logging.v2.LogEntry"
SEVERITIES = {"DEFAULT": 0, "DEBUG": 100, "INFO": 200, "WARNING": 400, "ERROR": 500}
SERVICE = "google.logging.v2.LoggingServiceV2"


class Logs:
    """The entries of all projects.

    Args:
        schema: gives the classes.
        store: keeps them.
        clock: stamps them.
    """

    def __init__(self, schema: Schema, store: Store, clock: Clock) -> None:
        self._schema, self._store, self._clock = schema, store, clock

    def say(self, job: str, log: str, lines: list[str], severity: str = "INFO", **labels: str) -> None:
        """Enter what a job has printed, as Vertex AI does: resource ``ml_job`` with ``job_id``.

        Args:
            job: the resource name of the job.
            log: the log's id, e.g. ``workerpool0-0``.
            lines: one entry each.
            severity: ``INFO`` for stdout, ``ERROR`` for stderr.
            labels: labels of the entries.
        """
        parts = self._store.canonical(job).split("/")
        project = self._store.project(parts[1])
        resource = {
            "type": "ml_job",
            "labels": {"project_id": project, "job_id": parts[-1], "task_name": log},
        }
        with self._store.transaction():
            for line in lines:
                entry = self._schema.message(ENTRY)(
                    log_name=f"projects/{project}/logs/{log}", text_payload=line, labels=labels,
                    severity=SEVERITIES[severity], resource=resource,
                )  # fmt: skip
                self._enter(entry, job)

    def of_job(self, job: str, after: int = 0, most: int = 10_000) -> list[tuple[int, str, str, str]]:
        """What a job has printed.

        Args:
            job: its resource name.
            after: only entries behind this one.
            most: at most so many.

        Returns:
            number, log, severity and text of each entry.
        """
        rows = self._store.rows(
            "SELECT id, data FROM entries WHERE job = ? AND id > ? ORDER BY id LIMIT ?",
            (self._store.canonical(job), after, most),
        )
        found = []
        for number, data in rows:
            entry = self._schema.message(ENTRY).FromString(data)
            severity = next(
                (name for name, value in SEVERITIES.items() if value == entry.severity), "DEFAULT"
            )
            found.append((number, entry.log_name.rpartition("/")[2], severity, text_of(entry)))
        return found

    def serve(self, table: Table) -> None:
        """Write, list and delete entries."""
        table.serve(
            SERVICE, WriteLogEntries=self._write, ListLogEntries=self._list, ListLogs=self._names,
            DeleteLog=self._delete,
        )  # fmt: skip

    def _enter(self, entry: Message, job: str = "") -> None:
        now = int(self._clock.now() * 1e6) * 1000
        entry.receive_timestamp.FromNanoseconds(now)
        if not entry.HasField("timestamp"):
            entry.timestamp.FromNanoseconds(now)
        entry.insert_id = entry.insert_id or secrets.token_hex(8)
        project = self._store.number(entry.log_name.split("/")[1])
        row = (
            project, entry.log_name, entry.insert_id, entry.timestamp.ToNanoseconds() / 1e9, entry.severity,
            self._store.canonical(job), entry.SerializeToString(),
        )  # fmt: skip
        # Two entries of one log, time and insert id are one, as documented.
        self._store.execute(
            "INSERT OR IGNORE INTO entries (project, log, insert_id, time, severity, job, data)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    def _write(self, call: Call) -> Message:
        entries = []
        for said in call.request.entries:
            entry = type(said)()
            entry.CopyFrom(said)
            entry.log_name = entry.log_name or call.request.log_name
            if not entry.HasField("resource"):
                entry.resource.CopyFrom(call.request.resource)
            for key, value in call.request.labels.items():
                if key not in entry.labels:
                    entry.labels[key] = value
            if not entry.log_name.startswith("projects/"):
                raise ApiError("INVALID_ARGUMENT", "Log name must start with projects/PROJECT_ID/logs/.")
            entries.append(entry)
        if not call.request.dry_run:
            with self._store.transaction():
                for entry in entries:
                    self._enter(entry)
        return call.reply()

    def _list(self, call: Call) -> Message:
        request = call.request
        if request.order_by not in ("", "timestamp", "timestamp asc", "timestamp desc"):
            raise ApiError("INVALID_ARGUMENT", f"Invalid order_by {request.order_by!r}.")
        test = Filter(request.filter, same=self._same)
        numbers = {self._store.number(name.split("/")[1]) for name in request.resource_names}
        rows = self._store.rows(
            f"SELECT project, data FROM entries WHERE {_bounds(request.filter)} ORDER BY time, id"
        )
        entries = [self._schema.message(ENTRY).FromString(row[1]) for row in rows if row[0] in numbers]
        kept = [entry for entry in entries if test(entry)]
        if request.order_by.endswith("desc"):
            kept.reverse()
        page, token = paged(kept, request)
        return call.reply(entries=page, next_page_token=token)

    def _same(self, text: str) -> str:
        """A log's name says the project's id or number, and its own id with or without percent signs."""
        return self._store.canonical(text).replace("%2F", "/") if text.startswith("projects/") else text

    def _names(self, call: Call) -> Message:
        parents = [call.request.parent, *call.request.resource_names]
        numbers = {self._store.number(name.split("/")[1]) for name in parents if name}
        rows = self._store.rows("SELECT DISTINCT project, log FROM entries ORDER BY log")
        return call.reply(log_names=[log for project, log in rows if project in numbers])

    def _delete(self, call: Call) -> Message:
        self._store.execute("DELETE FROM entries WHERE log = ?", (call.request.log_name,))
        return call.reply()


def text_of(entry: Any) -> str:
    """What an entry says, in one text."""
    if entry.WhichOneof("payload") == "json_payload":
        fields = entry.json_payload.fields
        return str(fields["message"].string_value) if "message" in fields else str(entry.json_payload)
    return str(entry.text_payload)


def _bounds(said: str) -> str:
    """The earliest time that a filter names, as a condition of SQL, so that not all entries are read."""
    import re

    found = re.fullmatch(r'.*?\btimestamp\s*>=?\s*"([^"]+)".*', said, re.DOTALL)
    if found is None or re.search(r"\b(OR|NOT)\b|(^|\s)-", said):
        return "1"
    return f"time >= {seconds(found[1])!r} - 0.001"
