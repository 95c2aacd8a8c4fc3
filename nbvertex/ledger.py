"""The book of one run: what is known of its steps in memory, and the moment when it becomes durable."""

from __future__ import annotations

import functools
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from nbvertex.artifacts import SMALL, Damaged, Store, digest_of_file
from nbvertex.bucket import Bucket
from nbvertex.database import Database, Transaction
from nbvertex.errors import StoreError, UsageError
from nbvertex.files import Files
from nbvertex.home import Home, writing
from nbvertex.lineage import CellRow, Lineage, Outcome, Run, StepRow
from nbvertex.locks import Lock
from nbvertex.plan import missing_names
from nbvertex.state import Change, FileSeen, Held, Inputs

KEPT_IN_MEMORY = 64 << 20  # bytes of small artifacts that are not read again from the database
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a step that ended leaves in the book.

    Args:
        row: the attempt.
        outcome: what it left; None for a cached step, whose row names the outcome of another run.
        cells: what its cells did.
        key: what to remember it under, or what a cached one was remembered under; None: nothing.
    """

    row: StepRow
    outcome: Outcome | None = None
    cells: tuple[CellRow, ...] = ()
    key: str | None = None


class Ledger:
    """What a run writes, and the artifacts that it reads.

    Rows are gathered and written together by `flush`: a step is finished, for whoever resumes the run, from then on.

    Args:
        home: where everything lies.
        bucket: a URL where large artifacts are kept as well.

    Raises:
        StoreError: it cannot be read or written.
    """

    def __init__(self, home: Home, bucket: str | None = None) -> None:
        home.prepare()
        self.home = home
        self.database = Database(home.database)
        self.store = Store(self.database, home.artifacts, Bucket(bucket) if bucket else None)
        self.lineage = Lineage(self.database)
        self.run = ""
        self._lock: Lock | None = None
        self._pending: list[Entry] = []
        self._running: dict[tuple[int, int, int], StepRow] = {}
        self._blobs: dict[str, bytes] = {}  # small artifacts: of this run, and those read and checked
        self._fresh: set[str] = set()  # those of them that no row holds yet
        self._weight = 0

    # --- the run -----------------------------------------------------------------------------------------

    def begin(self, run: Run, steps: Sequence[tuple[str, str]]) -> str:
        """Open the book of a new run.

        Args:
            run: its row; the id is made here.
            steps: name and code digest of all its steps.

        Returns:
            the id.
        """
        with self.database.write(durable=False) as tx:
            ident = _new_id(tx, run.started)
            self._take(ident)
            self.lineage.begin(tx, msgspec.structs.replace(run, id=ident), steps)
        return ident

    def reopen(self, run: str) -> None:
        """Go on with a run that ended too early.

        Raises:
            UsageError: it is still running.
        """
        self._take(run)
        with self.database.write(durable=False) as tx:
            self.lineage.again(tx, run)

    def _take(self, run: str) -> None:
        lock = Lock(lock_of(self.home, run))
        if not lock.acquire():
            raise UsageError(f"run {run} is still running", hint=f"see `nbvertex runs show {run}`")
        self.run, self._lock = run, lock

    @functools.cached_property
    def scratch(self) -> Path:
        """Where the steps of this run put artifacts that are too big for a frame."""
        folder = self.home.scratch / self.run
        with writing(folder):
            shutil.rmtree(folder, ignore_errors=True)  # what a killed process left
            folder.mkdir(parents=True)
        return folder

    def end(
        self, state: str, error: str | None, commit: tuple[str | None, bool | None] = (None, None)
    ) -> None:
        """Write what is left and say how the run ended.

        Args:
            state, error: how and why.
            commit: git's commit, and whether files differ from it.
        """

        def last(tx: Transaction) -> None:
            self.lineage.end(tx, self.run, state, time.time(), error)
            self.lineage.commit(tx, self.run, *commit)

        self._flush(last)

    def clear(self) -> None:
        """Remove what steps have written and nobody took: there may be no room for the last rows else."""
        if "scratch" in vars(self):
            shutil.rmtree(self.scratch, ignore_errors=True)

    def close(self) -> None:
        """Let the run and the database go."""
        if self._lock is not None:
            self.clear()
            self._lock.release()
        self.database.close()

    # --- steps -------------------------------------------------------------------------------------------

    @property
    def unsaved(self) -> bool:
        """Whether a step ended whose result is not yet durable."""
        return any(entry.outcome is not None for entry in self._pending)

    def started(self, row: StepRow) -> None:
        """An attempt began; its row is written with the next result."""
        self._running[row.position, row.round, row.attempt] = row

    def ended(self, entry: Entry) -> None:
        """An attempt ended; `flush` makes it durable."""
        self._running.pop((entry.row.position, entry.row.round, entry.row.attempt), None)
        self._pending.append(entry)

    def flush(self) -> None:
        """Make everything known so far durable.

        Raises:
            StoreError: it cannot be written; then nothing of it is.
        """
        if self._pending or self._running:
            self._flush(lambda tx: None)

    def _flush(self, more: Callable[[Transaction], None]) -> None:
        outcomes = [entry.outcome for entry in self._pending if entry.outcome is not None]
        written = self._fresh.intersection(
            held.digest for outcome in outcomes for held in outcome.change.held
        )
        need = sum(len(self._blobs[digest]) for digest in written)
        with self.database.write(durable=self.unsaved, need=need) as tx:
            for entry in self._pending:
                self._write(tx, entry)
            for row in self._running.values():
                self.lineage.step(tx, self.run, row)
            more(tx)
        self._pending.clear()
        self._running.clear()
        self._fresh -= written

    def _write(self, tx: Transaction, entry: Entry) -> None:
        row = entry.row
        if entry.outcome is not None:
            held = entry.outcome.change.held
            self.store.add(tx, [(h.digest, h.size, self._blobs.get(h.digest)) for h in held])
            self.store.add(tx, [(f.digest, None, None) for f in entry.outcome.written])
            digests = {h.digest for h in held} | {file.digest for file in entry.outcome.written}
            number = self.lineage.outcome(tx, entry.outcome, entry.cells, digests)
            row = msgspec.structs.replace(row, outcome=number)
            if entry.key is not None:
                self.lineage.remember(tx, entry.key, number)
        elif entry.key is not None:
            self.lineage.used(tx, entry.key)
        self.lineage.step(tx, self.run, row)

    def recall(self, key: str, live: tuple[str, ...] | None, files: Files) -> Outcome | None:
        """What is remembered under a key, if all of it is still there and as it was.

        Args:
            key: the key.
            live: the names that are needed of it; None: all.
            files: tells what is in the files that it depends on.
        """
        outcome = self.lineage.recall(key)
        if outcome is None or missing_names(outcome.live, live) or not files.same(outcome.read):
            return None
        needed = [(held.digest, held.size) for held in outcome.change.held]
        return outcome if self.store.holds(needed, [file.digest for file in outcome.written]) else None

    def keep_files(self, files: Iterable[FileSeen]) -> None:
        """Take copies of the files that belong to a result.

        Raises:
            StoreError: one cannot be kept.
        """
        for number, file in enumerate(files):
            copy = self.scratch / f"file-{number}"
            with writing(copy):
                shutil.copyfile(file.path, copy)
            if digest_of_file(copy) != file.digest:
                raise StoreError(f"{file.path} was changed while it was being kept")
            self.store.adopt(file.digest, copy)

    def restore(self, outcome: Outcome, files: Files) -> None:
        """Put the files that belong to a remembered result where its step had written them.

        Raises:
            StoreError: one cannot be written.
        """
        for file in outcome.written:
            if files.same([file]):
                continue
            draft = Path(f"{file.path}.nbvertex-draft")
            with writing(Path(file.path)):
                draft.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.store.path(file.digest), draft)
                if digest_of_file(draft) != file.digest:
                    draft.unlink()
                    raise Damaged(file.digest, f"is damaged: {file.path} cannot be restored from it")
                draft.replace(file.path)

    # --- artifacts ---------------------------------------------------------------------------------------

    def receive(self, held: Held, blob: bytes | None, path: str | None) -> None:
        """Take an artifact from a step's process; a large one is durable at once, a small one with its step's row."""
        if blob is None and path is not None and held.size <= SMALL:
            with open(path, "rb") as file:
                blob = file.read()
        if blob is not None and len(blob) > SMALL:
            self.store.put_file(held.digest, blob)
        elif blob is not None:
            self._fresh.add(held.digest)
            self._keep(held.digest, blob)
        elif path is not None:
            self.store.adopt(held.digest, Path(path))

    def let_go(self, change: Change) -> None:
        """What a step left is of no use any more; what it had written to files, `garbage` finds."""
        self._fresh.difference_update(held.digest for held in change.held)

    def hand_out(self, inputs: Inputs) -> tuple[list[dict[str, Any]], list[bytes]]:
        """The artifacts of a step's inputs as its process wants them, and the bytes of the small ones.

        Raises:
            Damaged: one is missing or not what it was.
        """
        records: list[dict[str, Any]] = []
        blobs: list[bytes] = []
        for held in inputs.held:
            record: dict[str, Any] = {
                "digest": held.digest,
                "entries": list(held.entries),
                "format": held.format,
            }
            if held.size > SMALL:
                record["path"] = str(self.store.path(held.digest, held.size))
            else:
                record["blob"] = len(blobs)
                blobs.append(self._small(held.digest))
            records.append(record)
        return records, blobs

    def bytes_of(self, held: Held) -> bytes:
        """The bytes of a small artifact.

        Raises:
            Damaged: they are missing or not what they were.
        """
        return self._small(held.digest)

    def _small(self, digest: str) -> bytes:
        if digest not in self._blobs:
            self._keep(digest, self.store.get(digest))
        return self._blobs[digest]

    def _keep(self, digest: str, blob: bytes) -> None:
        if digest not in self._blobs:
            self._weight += len(blob)
        self._blobs[digest] = blob
        if self._weight > KEPT_IN_MEMORY:
            self._blobs = {digest: data for digest, data in self._blobs.items() if digest in self._fresh}
            self._blobs[digest] = blob
            self._weight = sum(map(len, self._blobs.values()))

    def damaged(self, held: Iterable[Held]) -> Held | None:
        """The first of some artifacts whose bytes are not what they were."""
        for one in held:
            try:
                self.store.verify(one.digest)
            except Damaged:
                return one
        return None

    def forget(self, digest: str) -> None:
        """A damaged artifact and every cached result that needs it are gone."""
        self._blobs.pop(digest, None)
        with self.database.write() as tx:
            self.lineage.disown(tx, digest)
            self.store.remove_in(tx, [digest])


def lock_of(home: Home, run: str) -> Path:
    """The lock that a run holds as long as its process lives."""
    return home.locks / f"run-{run}"


def _new_id(tx: Transaction, at: float) -> str:
    stamp = time.strftime("%Y%m%d-%H%M", time.localtime(at))
    while True:
        ident = f"{stamp}-{''.join(LETTERS[byte % len(LETTERS)] for byte in os.urandom(2))}"
        if not tx.rows("SELECT 1 FROM runs WHERE id = ?", (ident,)):
            return ident
