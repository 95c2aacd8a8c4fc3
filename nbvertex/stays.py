"""Values that stay in the process that made them, where a notebook's code shows that a later step reads one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from nbvertex.dataflow import Analysis
from nbvertex.errors import Place, Problem
from nbvertex.pipeline import Flow, Step

_DATABASE = ("a database connection", "connect in the step that uses it")
_NETWORK = ("a network connection", "connect in the step that uses it")
_PROCESSES = ("a pool of processes", "close it, or make it in the step that uses it")
_THREADS = ("a pool of threads", "shut it down, or make it in the step that uses it")
STAYING = {  # what makes it -> its type, what it is, and what to do: the runtime refuses each of them
    "sqlite3.connect()": ("sqlite3.Connection", *_DATABASE),
    "psycopg2.connect()": ("psycopg2.extensions.connection", *_DATABASE),
    "psycopg.connect()": ("psycopg.Connection", *_DATABASE),
    "pymysql.connect()": ("pymysql.connections.Connection", *_DATABASE),
    "pyodbc.connect()": ("pyodbc.Connection", *_DATABASE),
    "oracledb.connect()": ("oracledb.Connection", *_DATABASE),
    "mysql.connector.connect()": ("mysql.connector.connection.MySQLConnection", *_DATABASE),
    "socket.socket()": ("socket.socket", *_NETWORK),
    "socket.create_connection()": ("socket.socket", *_NETWORK),
    "multiprocessing.Pool()": ("multiprocessing.pool.Pool", *_PROCESSES),
    "concurrent.futures.ProcessPoolExecutor()": ("concurrent.futures.ProcessPoolExecutor", *_PROCESSES),
    "concurrent.futures.ThreadPoolExecutor()": ("concurrent.futures.ThreadPoolExecutor", *_THREADS),
}
_ENDED = r"\b{name}\s*\.\s*(close|shutdown|terminate|detach)\b"


def seen(
    notebook: str,
    steps: Sequence[Step],
    flows: Sequence[Flow],
    analyses: Mapping[int, Analysis],
    *,
    marked: bool,
) -> Iterator[Problem]:
    """What would be refused when the step that makes it ends.

    Args:
        notebook: the file as the user named it.
        steps: the notebook's.
        flows: between them.
        analyses: of the cells, by position.
        marked: the notebook is marked so; else this is no more than a warning.
    """
    severity = "error" if marked else "warning"
    by_name = {step.name: step for step in steps}
    told: set[tuple[str, str]] = set()
    for flow in flows:
        step = by_name[flow.source]
        if flow.kind != "value" or step.options.when or step.options.each:
            continue
        for name in flow.names:
            problem = _problem(notebook, step, name, flow.target, analyses, severity)
            if problem is not None and (step.name, name) not in told:
                told.add((step.name, name))
                yield problem


def _problem(
    notebook: str, step: Step, name: str, target: str, analyses: Mapping[int, Analysis], severity: str
) -> Problem | None:
    """What is wrong with a name, as its step leaves it."""
    cells = [cell for cell in step.cells if name in cell.facts.binds]
    if not cells or name not in cells[-1].facts.surely or cells[-1].may_fail:
        return None
    last = analyses[cells[-1].position]
    known = STAYING.get(last.modules.get(name, ""))
    ended = re.compile(_ENDED.format(name=re.escape(name)))
    if known is None or any(ended.search(cell.source) or name in cell.facts.deletes for cell in step.cells):
        return None
    kind, what, hint = known
    place = Place(notebook, cells[-1].position, last.binds_at.get(name), step.name)
    message = f"`{name}` ({kind}): {what} cannot travel to step `{target}`"
    return Problem("cannot-travel", message, place, hint, severity)
