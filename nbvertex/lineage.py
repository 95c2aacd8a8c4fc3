"""What ran, when, on what, with which result: the rows of runs, steps, outcomes and cells."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from nbvertex import half_characters
from nbvertex.database import Database, Row, Transaction
from nbvertex.errors import UsageError
from nbvertex.events import StepState
from nbvertex.pipeline import Record
from nbvertex.state import Change, FileSeen

COMPRESS = 1024  # bytes from which outputs are compressed
DIED = "died"  # the state of a run whose process is gone without a word


class Run(Record, frozen=True, kw_only=True):
    """A run as recorded.

    Args:
        id: like ``20261120-0731-x7``.
        notebook: the notebook's file.
        name: the pipeline's name.
        pipeline: the pipeline as JSON.
        parameters: the values that were given.
        environment: Python, platform and package versions.
        cwd, python: where and with what it runs.
        commit, dirty: the state of the git repository round the notebook, if there is one.
        state: running, done, failed or interrupted; `DIED` is never written.
        started, ended: seconds since the epoch.
        output: the output notebook.
        error: why it did not end well.
    """

    id: str
    notebook: str
    name: str
    pipeline: bytes
    parameters: dict[str, Any]
    environment: dict[str, Any]
    cwd: str
    python: str
    state: str
    started: float
    ended: float | None = None
    commit: str | None = None
    dirty: bool | None = None
    output: str | None = None
    error: str | None = None


class StepRow(Record, frozen=True, kw_only=True):
    """An attempt of a step as recorded.

    Args:
        position: place of the step in the pipeline, counted from 0.
        attempt: counted from 1.
        name: the step.
        state: queued, running, done, cached, failed or skipped.
        code: digest of its code.
        key: what it is cached under; None where it is not.
        inputs: name -> digest of what it read.
        outcome: the row of what it left; for a cached one, of the run that it is from.
        started, ended: seconds since the epoch.
        error: what went wrong, in one line; for a skipped one, why its condition did not hold.
        round: which round of a step that runs over a list, counted from 1; 0: the step itself.
        item: what that round runs on, such as ``lr = 0.1``.
    """

    position: int
    attempt: int
    name: str
    state: str
    code: str
    key: str | None = None
    inputs: dict[str, str] = msgspec.field(default_factory=dict)
    outcome: int | None = None
    started: float | None = None
    ended: float | None = None
    error: str | None = None
    round: int = 0
    item: str | None = None

    @property
    def finished(self) -> bool:
        """It ended well and not the run, or its condition did not hold."""
        if self.outcome is None:
            return False
        return self.state == "skipped" or (self.state in ("done", "cached") and self.error is None)


class Touched(Record, frozen=True, kw_only=True):
    """The files that a step was seen to open for reading, and to write, make or take away."""

    read: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


class Outcome(Record, frozen=True, kw_only=True):
    """What an attempt of a step left.

    Args:
        id: its row; 0 where it has none yet.
        run: the run that computed it.
        change: what it did to the state.
        live: the names that were kept; None: all.
        read, written: files that it read, and declared files that it wrote, with their contents' digests.
        touched: all files that it was seen to open.
        widgets: the state of its widgets, by model, as a notebook's metadata keeps it.
        measures: the numbers by which it is judged.
        started, ended: seconds since the epoch.
    """

    id: int = 0
    run: str = ""
    change: Change = Change()
    live: tuple[str, ...] | None = None
    read: tuple[FileSeen, ...] = ()
    written: tuple[FileSeen, ...] = ()
    touched: Touched = Touched()
    widgets: dict[str, Any] = msgspec.field(default_factory=dict)
    measures: dict[str, float] = msgspec.field(default_factory=dict)
    started: float = 0.0
    ended: float = 0.0


class CellRow(Record, frozen=True, kw_only=True):
    """What a cell did in an attempt; ``outputs`` as nbformat has them."""

    position: int
    state: StepState
    count: int | None = None
    started: float | None = None
    ended: float | None = None
    outputs: tuple[dict[str, Any], ...] = ()


_RUN = (
    "id, notebook, name, pipeline, parameters, environment, cwd, python, state, started, ended, commit_id, dirty,"
    " output, error"
)
_OUTCOME = "outcomes.id, run, change, live, files, touched, widgets, started, ended, measures"
_STEP = "position, attempt, name, state, code, key, inputs, outcome, started, ended, error, round, item"


class Notes:
    """What took long to find out, by name.

    Args:
        database: where it is noted.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, name: str) -> str | None:
        """What was noted under a name."""
        rows = self._database.rows("SELECT value FROM notes WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    def write(self, name: str, value: str) -> None:
        """Note something under a name."""
        with self._database.write(durable=False) as tx:
            tx.execute("INSERT OR REPLACE INTO notes (name, value) VALUES (?, ?)", (name, value))


class Lineage:
    """The rows of a home's database.

    Args:
        database: where they lie.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.notes = Notes(database)

    # --- writing: always within a transaction, which the caller opens ------------------------------------

    def begin(self, tx: Transaction, run: Run, steps: Sequence[tuple[str, str]]) -> None:
        """A run begins; its steps (name, code digest) are queued."""
        tx.execute(
            f"INSERT INTO runs ({_RUN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run.id, run.notebook, run.name, zlib.compress(run.pipeline, 1), json.dumps(run.parameters),
                json.dumps(run.environment), run.cwd, run.python, run.state, run.started, run.ended, run.commit,
                run.dirty, run.output, run.error,
            ),
        )  # fmt: skip
        tx.many(
            "INSERT INTO steps (run, position, attempt, name, state, code) VALUES (?, ?, 1, ?, 'queued', ?)",
            [(run.id, position, name, code) for position, (name, code) in enumerate(steps)],
        )

    def step(self, tx: Transaction, run: str, row: StepRow) -> None:
        """An attempt of a step is in another state."""
        tx.execute(
            f"INSERT OR REPLACE INTO steps (run, {_STEP}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run, row.position, row.attempt, row.name, row.state, row.code, row.key,
                json.dumps(row.inputs) if row.inputs else None, row.outcome, row.started, row.ended, row.error,
                row.round, row.item,
            ),
        )  # fmt: skip

    def outcome(
        self, tx: Transaction, outcome: Outcome, cells: Iterable[CellRow], digests: Iterable[str]
    ) -> int:
        """What an attempt left.

        Args:
            tx: the transaction that also holds the small artifacts.
            outcome: what it left; its id is not looked at.
            cells: what its cells did.
            digests: the artifacts that it needs to be kept.

        Returns:
            the row's id.
        """
        files = json.dumps(
            [[[file.path, file.digest] for file in seen] for seen in (outcome.read, outcome.written)]
        )
        number = tx.execute(
            "INSERT INTO outcomes (run, change, live, files, touched, widgets, started, ended, measures)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                outcome.run, msgspec.json.encode(outcome.change),
                None if outcome.live is None else json.dumps(outcome.live), files,
                json.dumps([outcome.touched.read, outcome.touched.written]),
                _pack([outcome.widgets]) if outcome.widgets else None,
                outcome.started, outcome.ended, json.dumps(outcome.measures) if outcome.measures else None,
            ),
        )  # fmt: skip
        tx.many(
            "INSERT INTO cells (outcome, position, state, count, started, ended, outputs) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(number, c.position, c.state, c.count, c.started, c.ended, _pack(c.outputs)) for c in cells],
        )
        tx.many(
            "INSERT INTO uses (outcome, digest) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(number, digest) for digest in digests],
        )
        return number

    def remember(self, tx: Transaction, key: str, number: int) -> None:
        """The outcome may stand for every step with this key."""
        tx.execute(
            "INSERT OR REPLACE INTO cache (key, outcome, used) VALUES (?, ?, ?)", (key, number, time.time())
        )

    def used(self, tx: Transaction, key: str) -> None:
        """The key was asked for just now, so what it stands for is evicted last."""
        tx.execute("UPDATE cache SET used = ? WHERE key = ?", (time.time(), key))

    def disown(self, tx: Transaction, digest: str) -> None:
        """No outcome that needs the artifact stands for anything any more."""
        tx.execute(
            "DELETE FROM cache WHERE outcome IN (SELECT outcome FROM uses WHERE digest = ?)", (digest,)
        )

    def end(self, tx: Transaction, run: str, state: str, at: float, error: str | None = None) -> None:
        """A run has ended; steps that were not reached, or had begun early for nothing, are skipped."""
        tx.execute("UPDATE runs SET state = ?, ended = ?, error = ? WHERE id = ?", (state, at, error, run))
        tx.execute(
            "UPDATE steps SET state = 'skipped' WHERE run = ? AND state IN ('queued', 'running')", (run,)
        )

    def again(self, tx: Transaction, run: str) -> None:
        """A run goes on; what was running when it broke off has failed."""
        tx.execute("UPDATE runs SET state = 'running', ended = NULL, error = NULL WHERE id = ?", (run,))
        tx.execute(
            "UPDATE steps SET state = 'failed', error = 'broke off' WHERE run = ? AND state = 'running'",
            (run,),
        )
        tx.execute(
            "UPDATE steps SET state = 'queued' WHERE run = ? AND state = 'skipped' AND outcome IS NULL",
            (run,),
        )

    def commit(self, tx: Transaction, run: str, commit: str | None, dirty: bool | None) -> None:
        """The git commit of a run, and whether files differ from it."""
        tx.execute("UPDATE runs SET commit_id = ?, dirty = ? WHERE id = ?", (commit, dirty, run))

    def describe(self, run: str, *, output: str) -> None:
        """Add what is known late: where the output notebook is."""
        with self.database.write() as tx:
            tx.execute("UPDATE runs SET output = ? WHERE id = ?", (output, run))

    # --- reading -----------------------------------------------------------------------------------------

    def run(self, ident: str) -> Run:
        """A run.

        Args:
            ident: its id, or as much of its beginning or end as is needed to tell it from the others; ``last``
                for the newest.

        Raises:
            UsageError: there is none, or more than one.
        """
        if ident == "last":
            rows = self.database.rows(f"SELECT {_RUN} FROM runs ORDER BY started DESC LIMIT 1")
        else:
            rows = self.database.rows(
                f"SELECT {_RUN} FROM runs WHERE id = ?", (ident,)
            ) or self.database.rows(
                f"SELECT {_RUN} FROM runs WHERE substr(id, 1, ?) = ? OR substr(id, -?) = ? ORDER BY started LIMIT 3",
                (len(ident), ident, len(ident), ident),
            )
        if len(rows) == 1:
            return _run(rows[0])
        if rows:
            raise UsageError(f"more than one run is called {ident}: {', '.join(row[0] for row in rows)} ...")
        known = self.database.rows("SELECT id FROM runs ORDER BY started DESC LIMIT 3")
        hint = (
            f"the newest are {', '.join(row[0] for row in known)}"
            if known
            else "nothing has been run here yet"
        )
        raise UsageError(f"there is no run {ident}", hint=hint)

    def runs(self, *, notebook: str | None = None, limit: int = -1) -> list[Run]:
        """The runs, newest first.

        Args:
            notebook: only those of this file.
            limit: at most so many; negative: all.
        """
        where, values = ("WHERE notebook = ?", [notebook]) if notebook is not None else ("", [])
        sql = f"SELECT {_RUN} FROM runs {where} ORDER BY started DESC, id DESC LIMIT ?"
        return [_run(row) for row in self.database.rows(sql, [*values, limit])]

    def recall(self, key: str) -> Outcome | None:
        """The outcome remembered under a key."""
        sql = f"SELECT {_OUTCOME} FROM cache JOIN outcomes ON outcomes.id = cache.outcome WHERE cache.key = ?"
        rows = self.database.rows(sql, (key,))
        return _outcome(rows[0]) if rows else None

    def steps(self, run: str) -> list[StepRow]:
        """Every attempt of every step of a run and of its rounds, in order."""
        sql = f"SELECT {_STEP} FROM steps WHERE run = ? ORDER BY position, round, attempt"
        return [_step(row) for row in self.database.rows(sql, (run,))]

    def outcomes(self, numbers: Iterable[int]) -> dict[int, Outcome]:
        """What attempts left, by row."""
        found: dict[int, Outcome] = {}
        for chunk in _chunks(sorted(set(numbers))):
            marks = ", ".join("?" * len(chunk))
            sql = f"SELECT {_OUTCOME} FROM outcomes WHERE id IN ({marks})"
            found.update((row[0], _outcome(row)) for row in self.database.rows(sql, chunk))
        return found

    def cells(self, number: int) -> list[CellRow]:
        """What the cells did in the attempt whose outcome this is."""
        sql = "SELECT position, state, count, started, ended, outputs FROM cells WHERE outcome = ? ORDER BY position"
        return [
            CellRow(
                position=p, state=state, count=count, started=started, ended=ended, outputs=_unpack(outputs)
            )
            for p, state, count, started, ended, outputs in self.database.rows(sql, (number,))
        ]


def _chunks(numbers: list[int], size: int = 500) -> list[list[int]]:
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


def _run(row: Row) -> Run:
    return Run(
        id=row[0], notebook=row[1], name=row[2], pipeline=zlib.decompress(row[3]), parameters=json.loads(row[4]),
        environment=json.loads(row[5]), cwd=row[6], python=row[7], state=row[8], started=row[9], ended=row[10],
        commit=row[11], dirty=None if row[12] is None else bool(row[12]), output=row[13], error=row[14],
    )  # fmt: skip


def _step(row: Row) -> StepRow:
    return StepRow(
        position=row[0], attempt=row[1], name=row[2], state=row[3], code=row[4], key=row[5],
        inputs=json.loads(row[6]) if row[6] else {}, outcome=row[7], started=row[8], ended=row[9], error=row[10],
        round=row[11], item=row[12],
    )  # fmt: skip


def _outcome(row: Row) -> Outcome:
    read, written = (tuple(map(_file, seen)) for seen in json.loads(row[4]))
    return Outcome(
        id=row[0], run=row[1], change=msgspec.json.decode(row[2], type=Change),
        live=None if row[3] is None else tuple(json.loads(row[3])), read=read, written=written,
        touched=_touched(row[5]), widgets=_unpack(row[6])[0] if row[6] else {}, started=row[7], ended=row[8],
        measures=json.loads(row[9]) if row[9] else {},
    )  # fmt: skip


def _file(kept: list[str] | dict[str, str]) -> FileSeen:
    if isinstance(kept, dict):  # as earlier versions wrote it
        return FileSeen(**kept)
    return FileSeen(path=kept[0], digest=kept[1])


def _touched(text: str | None) -> Touched:
    read, written = json.loads(text) if text else ((), ())
    return Touched(read=tuple(read), written=tuple(written))


def _pack(outputs: Sequence[Mapping[str, Any]]) -> bytes:
    data = half_characters.as_json(outputs)
    return zlib.compress(data, 1) if len(data) > COMPRESS else data


def _unpack(data: bytes) -> tuple[dict[str, Any], ...]:
    text = data if data.startswith(b"[") else zlib.decompress(data)
    return tuple(json.loads(text))
