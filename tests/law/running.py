"""Runs small notebooks twice, straight in one process and as isolated steps, and says how the two differ."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias

import making

from nbvertex import convert, notebook, runner, worker
from nbvertex.errors import Problem, ProblemsFound, Refused
from nbvertex.events import RunResult
from nbvertex.home import Home

Kind: TypeAlias = Literal["equal", "refused", "silent", "late"]
PATIENCE = 60.0  # seconds for one run; a case that takes longer hangs


@dataclass(frozen=True, slots=True)
class Cell:
    """A code cell of a small notebook."""

    source: str
    tags: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Run All runs it: it is neither skipped nor empty."""
        return "skip" not in self.tags and bool(self.source.strip())


@dataclass(frozen=True, slots=True)
class Seen:
    """What one run of a notebook showed.

    Args:
        shown: position -> what the cell printed and displayed; only cells that ended.
        files: what was left in the working folder.
        failure: the cell that failed, and the error's name.
        refusals: why it was not run, or not run to its end.
        begun: whether any cell ran.
        told: what the user is told of a failure, with the mend.
    """

    shown: Mapping[int, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    failure: tuple[int, str] | None = None
    refusals: tuple[Problem, ...] = ()
    begun: bool = True
    told: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run of steps compares with Run All.

    Args:
        kind: ``silent``: ends as if all were well, with a difference; ``late``: fails where Run All does not.
        why: the first difference, or the reasons of the refusal.
        straight, stepped: both sides.
    """

    kind: Kind
    why: str
    straight: Seen
    stepped: Seen


class Bench:
    """One warm process for many small runs.

    Args:
        preload: modules that it imports beforehand.
        patience: how many seconds one run may take.
    """

    def __init__(self, preload: tuple[str, ...] = (), patience: float = PATIENCE) -> None:
        self._preload = preload
        self._patience = patience
        self._folder = tempfile.TemporaryDirectory(prefix="law-", ignore_cleanup_errors=True)
        self._pool: worker.Pool | None = None
        self._made = 0

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._drop_pool()
        self._folder.cleanup()

    def _drop_pool(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def pool(self) -> worker.Pool:
        if self._pool is None:
            self._pool = worker.Pool(sys.executable, preload=self._preload, cwd=self._folder.name)
        return self._pool

    @contextlib.contextmanager
    def place(self) -> Iterator[Path]:
        """A new folder for one run, with an empty working folder in it."""
        self._made += 1
        folder = Path(os.path.realpath(self._folder.name), str(self._made))
        (folder / "work").mkdir(parents=True)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)  # some cells make folders that cannot be removed

    def judge(self, cells: Sequence[Cell], jobs: int | None = None) -> Verdict:
        """Run the notebook both ways and compare."""
        return compare(self.straight(cells), self.stepped(cells, jobs))

    def straight(self, cells: Sequence[Cell]) -> Seen:
        """All cells, one after the other, in one process: Run All."""
        with self.place() as folder:
            return self._straight(folder, cells)

    def _straight(self, folder: Path, cells: Sequence[Cell]) -> Seen:
        work = folder / "work"
        shown: dict[int, str] = {}

        def hear(event: worker.Event) -> None:
            if isinstance(event, worker.CellEnded | worker.Revised):
                shown[event.position] = text_of(event.outputs, work)

        result = self.watch(
            worker.Job(
                id="straight",
                cells=tuple(_numbered(cells)),
                inputs={"step": "all", "names": {}, "artifacts": []},
                live=(),
                cwd=str(work),
                scratch=str(folder),
            ),
            hear,
        )
        failure = None
        if isinstance(result, worker.Failed):
            failure = (result.position, result.ename)
        elif isinstance(result, worker.Died):
            failure = (len(shown) + 1, f"died ({result.message})")
        return Seen(shown, files_in(work), failure)

    def watch(self, job: worker.Job, hear: Callable[[worker.Event], None]) -> worker.Result:
        """Run one job to its end.

        Args:
            job: it.
            hear: hears every event before the end.
        """
        pool = self._borrow()
        try:
            pool.start(job)
            while True:
                for event in pool.poll(1.0):
                    if isinstance(event, worker.Ended):
                        return event.result
                    hear(event)
        except BaseException:  # whatever went wrong, the next run gets processes of its own
            self._drop_pool()
            raise

    def stepped(self, cells: Sequence[Cell], jobs: int | None = None) -> Seen:
        """The same cells as the steps that their tags say."""
        with self.place() as folder:
            return self._stepped(folder, cells, jobs)

    def stepped_after(self, earlier: Sequence[Cell], cells: Sequence[Cell]) -> Seen:
        """As steps that take what they can from a run of an earlier state of the notebook."""
        with self.place() as folder:
            self._stepped(folder, earlier)
            shutil.rmtree(folder / "work")
            (folder / "work").mkdir()
            return self._stepped(folder, cells)

    def _stepped(self, folder: Path, cells: Sequence[Cell], jobs: int | None = None) -> Seen:
        work = folder / "work"
        path = making.write(folder / "nb.ipynb", [making.cell(cell.source, *cell.tags) for cell in cells])
        pipeline, problems = convert.check(notebook.read(path))
        if pipeline is None:
            return Seen(refusals=tuple(one for one in problems if one.is_error), begun=False)
        try:
            result = runner.run(
                pipeline,
                home=Home(folder / "home"),
                notebook=path,
                cwd=work,
                jobs=jobs,
                pool_factory=lambda python, **settings: self._borrow(),
            )
        except BaseException:
            self._drop_pool()
            raise
        return _seen(result, work)

    def _borrow(self) -> _Borrowed:
        self._made += 1
        return _Borrowed(self.pool(), self._made, self._patience)


class _Borrowed:
    """The warm processes for one run: closing it ends that run's steps and leaves the rest to the next.

    Args:
        pool: the warm processes.
        run: tells the runs apart, whose steps have the same names.
        patience: how many seconds it may take.
    """

    def __init__(self, pool: worker.Pool, run: int, patience: float) -> None:
        self._pool = pool
        self._mark = f"{run}:"
        self._running: set[str] = set()
        self._until = time.monotonic() + patience

    def start(self, job: worker.Job) -> None:
        self._running.add(job.id)
        self._pool.start(replace(job, id=self._mark + job.id))

    def poll(self, timeout: float | None) -> list[worker.Event]:
        if time.monotonic() > self._until:
            for job in self._running:
                self.stop(job, grace=0.0)
        events = [
            replace(event, job=event.job.removeprefix(self._mark)) for event in self._pool.poll(timeout)
        ]
        self._running -= {event.job for event in events if isinstance(event, worker.Ended)}
        return events

    def proceed(self, job_id: str) -> None:
        self._pool.proceed(self._mark + job_id)

    def stop(self, job_id: str, *, grace: float = 5.0) -> None:
        self._pool.stop(self._mark + job_id, grace=grace)

    def close(self) -> None:
        for job in self._running:
            self.stop(job, grace=0.0)
        while self._running:
            self.poll(1.0)


def _numbered(cells: Sequence[Cell]) -> Iterator[worker.CellJob]:
    count = 0
    for position, cell in enumerate(cells, 1):
        if cell.runs:
            count += 1
            yield worker.CellJob(position, count, cell.source, "raises-exception" in cell.tags)


def _seen(result: RunResult, work: Path) -> Seen:
    shown: dict[int, str] = {}
    failure: tuple[int, str] | None = None
    for step in result.steps.values():
        for cell in step.cells.values():
            if cell.state in ("done", "failed", "cached") and cell.count:
                shown[cell.position] = text_of(cell.outputs, work)
    error = result.error or result.left
    if isinstance(error, ProblemsFound):
        return Seen(shown, files_in(work), refusals=error.problems)
    if isinstance(error, Refused):
        told = Problem(error.code, error.message, error.place, error.hint)
        return Seen(shown, files_in(work), refusals=(told,))
    if error is not None:
        died = error.code == "step-died"
        name = f"died ({error.message})" if died else error.message.partition(":")[0]
        failure = (error.place.cell or 0, name)
    told = f"{error} {error.hint}" if error is not None else ""
    return Seen(shown, files_in(work), failure, told=told)


# --- what is compared -------------------------------------------------------------------------------------

ASIDE = (
    (re.compile(r"0x[0-9a-fA-F]{4,}"), "0x"),
    (re.compile(r"\.\.\.x?[0-9a-f]{6,}(?=&gt;|>)"), "...0x"),  # the end of one, as scikit-learn shows it
    (re.compile(r"(?m)(CPU times|Wall time): .*$"), r"\1"),
    (re.compile(r"(?m)^(<stdout>)?.* ± .* per loop \(mean"), r"\1timeit (mean"),
    (re.compile(r"(?m)^([IWEF])\d{4} \d\d:\d\d:[\d.]+ +\d+ "), r"\1 "),  # a log of C++: time, thread
    (re.compile(r"ipykernel_\d+/\d+\.py"), "ipykernel"),
)


def text_of(outputs: Iterable[Mapping[str, Any]], work: Path) -> str:
    """What a cell shows, as one text, without what differs by nature."""
    pieces: list[str] = []
    last = ""
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            mark = f"<{output['name']}>"
            pieces.append(("" if last == mark else mark) + "".join(output["text"]))
            last = mark
            continue
        last = kind
        if kind == "error":
            pieces.append(f"<error>{output['ename']}: {output['evalue']}\n" + "\n".join(output["traceback"]))
        else:
            pieces.append(f"<{kind}>" + "".join(f"{m}: {d}" for m, d in sorted(output["data"].items())))
    text = "".join(pieces).replace(str(work), "<work>")
    for pattern, instead in ASIDE:
        text = pattern.sub(instead, text)
    return text


def files_in(folder: Path) -> dict[str, str]:
    """Every file below, with the digest of what is in it, and every folder."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if "__pycache__" in path.parts:
            continue
        name = str(path.relative_to(folder))
        if path.is_dir():
            found[name + "/"] = ""
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def compare(straight: Seen, stepped: Seen) -> Verdict:
    """How the run of steps compares with the straight one."""
    if not stepped.begun:
        return Verdict("refused", "; ".join(map(str, stepped.refusals)), straight, stepped)
    for position, text in stepped.shown.items():
        if text != straight.shown.get(position):
            kind: Kind = (
                "silent" if stepped.failure is None or stepped.failure == straight.failure else "late"
            )
            why = f"cell {position}: Run All {straight.shown.get(position)!r}, steps {text!r}"
            return Verdict(kind, why, straight, stepped)
    if stepped.refusals:
        return Verdict("refused", "; ".join(map(str, stepped.refusals)), straight, stepped)
    if stepped.failure != straight.failure:
        why = f"Run All: {straight.failure or 'ends well'}, steps: {stepped.failure or 'end well'}"
        return Verdict("late" if stepped.failure else "silent", why, straight, stepped)
    if stepped.failure is None and (missing := straight.shown.keys() - stepped.shown.keys()):
        return Verdict("silent", f"not run: cells {sorted(missing)}", straight, stepped)
    if stepped.files != straight.files:
        return Verdict("silent", f"files: Run All {straight.files}, steps {stepped.files}", straight, stepped)
    return Verdict("equal", "", straight, stepped)
