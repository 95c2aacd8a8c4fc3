"""The emulator's own pages: jobs, pipelines, schedules, models, buckets and logs, to be looked at in a browser."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

from nbvertex.emulator.logs import ENTRY, text_of
from nbvertex.emulator.schema import Message, as_json
from nbvertex.emulator.web import Reply, Request
from nbvertex.emulator.world import World

SHOWN = (
    ("Pipeline jobs", "pipelineJobs"),
    ("Custom jobs", "customJobs"),
    ("Training pipelines", "trainingPipelines"),
    ("Notebook execution jobs", "notebookExecutionJobs"),
    ("Batch prediction jobs", "batchPredictionJobs"),
    ("Schedules", "schedules"),
    ("Models", "models"),
    ("Endpoints", "endpoints"),
    ("Secrets", "secrets"),
)
MOST = 200
STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1f2328 }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem } a { color: #0550ae; text-decoration: none }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .25rem .75rem .25rem 0; vertical-align: top }
tr { border-bottom: 1px solid #d8dee4 } pre { background: #f6f8fa; padding: 1rem; overflow: auto; max-height: 40rem }
.SUCCEEDED { color: #1a7f37 } .FAILED { color: #cf222e } .RUNNING { color: #9a6700 } .ERROR { color: #cf222e }
@media (prefers-color-scheme: dark) {
  body { background: #0d1117; color: #e6edf3 } a { color: #79c0ff } pre { background: #161b22 } tr { border-color: #30363d } }
"""


class Raw(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Raw:
    """Anything as HTML: what is not yet is escaped."""
    return value if isinstance(value, Raw) else Raw(html.escape(str(value)))


def tag(name: str, *inner: object, **attributes: str) -> Raw:
    """An element."""
    said = "".join(f' {key.rstrip("_")}="{html.escape(value)}"' for key, value in attributes.items())
    return Raw(f"<{name}{said}>{''.join(text(one) for one in inner)}</{name}>")


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Raw:
    """A table; nothing where it has no rows."""
    made = [tag("tr", *(tag("td", cell) for cell in row)) for row in rows]
    return tag("table", tag("tr", *(tag("th", one) for one in head)), *made) if made else tag("p", "none")


class Pages:
    """The pages of one emulator.

    Args:
        world: what they show.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def answer(self, request: Request) -> Reply | None:
        """The page of an address, or None where it has none.

        Raises:
            ApiError: what it is about is not there.
        """
        name = request.said.get("name", "")
        if request.verb != "GET":
            return None
        if request.path in ("", "/"):
            return self._page("nbvertex emulator", *self._overview(), refresh="5")
        if request.path == "/page/resource":
            return self._page(name, *self._resource(name))
        if request.path == "/page/bucket":
            return self._page(f"gs://{name}", *self._bucket(name))
        if request.path == "/page/logs":
            return self._page("Logs", self._logs(), refresh="5")
        return None

    def _page(self, title: str, *body: object, refresh: str | None = None) -> Reply:
        again = [Raw(f'<meta http-equiv="refresh" content="{refresh}">')] if refresh else []
        head = tag(
            "head", Raw('<meta charset="utf-8">'), *again, tag("title", title), tag("style", Raw(STYLE))
        )
        up = tag("p", link("/", "all"), " · ", link("/page/logs", "logs"))
        said = f"<!doctype html>{tag('html', head, tag('body', tag('h1', title), up, *body), lang='en')}"
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Reply(200, said.encode(), {"Content-Type": "text/html; charset=utf-8", **policy})

    def _overview(self) -> Iterator[object]:
        world = self._world
        client = f"google-cloud-aiplatform {world.schema.client}"
        yield tag("p", f"Project {world.settings.project}, {client}, state in {world.settings.folder}")
        buckets = [json.loads(row[0]) for row in world.store.rows("SELECT data FROM buckets ORDER BY name")]
        yield tag("h2", "Buckets")
        yield table(("name", "made"), ((_bucket(b["name"]), b["timeCreated"]) for b in buckets))
        for title, collection in SHOWN:
            found = list(reversed(world.store.all(collection)))[:MOST]
            if found:
                yield tag("h2", title)
                yield table(("name", "state", "made", "took"), (self._row(message) for message in found))

    def _row(self, message: Message) -> tuple[object, ...]:
        name = getattr(message, "display_name", "") or message.name.rpartition("/")[2]
        return _resource(message.name, name), _state(message), _time(message, "create_time"), _took(message)

    def _resource(self, name: str) -> Iterator[object]:
        message = self._world.store.get(name)
        yield tag("p", _state(message), " ", _took(message))
        if message.DESCRIPTOR.name == "PipelineJob":
            yield tag("h2", "Tasks")
            tasks = sorted(message.job_detail.task_details, key=lambda task: task.task_id)
            rows = (
                (t.task_name, _state(t), _time(t, "start_time"), _took(t), t.error.message) for t in tasks
            )
            yield table(("task", "state", "began", "took", "error"), rows)
        entries = self._world.logs.of_job(name)
        if entries:
            yield tag("h2", "Log")
            yield tag(
                "pre",
                *(tag("span", f"{log}  {said}\n", class_=severity) for _, log, severity, said in entries),
            )
        yield tag("h2", "Resource")
        yield tag("pre", json.dumps(as_json(message), indent=2, ensure_ascii=False))

    def _bucket(self, name: str) -> Iterator[object]:
        objects = self._world.buckets.objects(name)
        yield tag("p", f"Plain files in {self._world.buckets.folder / name}")
        rows = (
            (_object(name, data["name"]), f"{int(data['size']):,}", data["contentType"], data["updated"])
            for data in objects
        )
        yield table(("object", "bytes", "type", "written"), rows)

    def _logs(self) -> Raw:
        rows = self._world.store.rows("SELECT data, job FROM entries ORDER BY id DESC LIMIT ?", (MOST,))
        entries = [(self._world.schema.message(ENTRY).FromString(data), job) for data, job in reversed(rows)]
        return table(
            ("time", "log", "job", "text"),
            (
                (_time(entry, "timestamp"), entry.log_name.rpartition("/")[2],
                 _resource(job, job.rpartition("/")[2]) if job else "", text_of(entry))
                for entry, job in entries
            ),
        )  # fmt: skip


def link(address: str, said: object) -> Raw:
    """A link within the pages."""
    return tag("a", said, href=address)


def _resource(name: str, said: str) -> Raw:
    return link(f"/page/resource?{urlencode({'name': name})}", said)


def _bucket(name: str) -> Raw:
    return link(f"/page/bucket?{urlencode({'name': name})}", name)


def _object(bucket: str, name: str) -> Raw:
    return link(f"/download/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}?alt=media", name)


def _state(message: Message) -> Raw:
    """The state of whatever has one, in its own colour."""
    for field in ("state", "job_state"):
        found = message.DESCRIPTOR.fields_by_name.get(field)
        if found is not None and found.enum_type is not None:
            number = getattr(message, field)
            known = found.enum_type.values_by_number.get(number)
            name = (known.name if known else str(number)).rpartition("STATE_")[2]
            return tag("span", name.lower(), class_=name)
    return Raw("")


def _time(message: Message, field: str) -> str:
    if field not in message.DESCRIPTOR.fields_by_name or not message.HasField(field):
        return ""
    made: str = getattr(message, field).ToJsonString()
    return made[:19].replace("T", " ")


def _took(message: Message) -> str:
    fields: Any = message.DESCRIPTOR.fields_by_name
    if not all(name in fields and message.HasField(name) for name in ("start_time", "end_time")):
        return ""
    return f"{(message.end_time.ToNanoseconds() - message.start_time.ToNanoseconds()) / 1e9:.1f} s"
