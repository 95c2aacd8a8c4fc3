"""A run that is broken off at any moment goes on: nothing that was recorded is done again, and the answer is right."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pretend
import pytest
from pretend import pipeline, step

from nbvertex import database
from nbvertex.errors import NbvertexError
from nbvertex.home import Home
from nbvertex.ledger import Ledger
from nbvertex.pipeline import Pipeline
from nbvertex.runner import run

BIG = 100_000


class Log(list[str]):
    """What others can see, kept in a file so that it outlives the process that did it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def append(self, text: str) -> None:
        with self.path.open("a") as file:
            file.write(text + "\n")

    def lines(self) -> list[str]:
        return self.path.read_text().split() if self.path.exists() else []


def wide(steps: int = 4) -> Pipeline:
    """A beginning, steps beside each other that leave small and large values, and an end that reads them all."""
    names = [f"v{n}" for n in range(steps)]
    begin = step("begin", "effect('begin')\nx = 1", binds=("x",), live=("x",))
    middle = [
        step(
            f"s{n}",
            f"effect('s{n}')\nv{n} = 'y' * ({BIG if n % 2 else 10} + x)",
            at=n + 2,
            reads=("x",),
            binds=(name,),
            live=("x", *names[: n + 1]),
            needs=("begin",),
        )
        for n, name in enumerate(names)
    ]
    end = step(
        "end",
        f"effect('end')\nprint([len(v) for v in ({', '.join(names)},)])",
        at=steps + 2,
        reads=tuple(names),
        needs=tuple(one.name for one in middle),
    )
    return pipeline(begin, *middle, end)


MADE = wide()
ANSWER = f"{[11, BIG + 1, 11, BIG + 1]}\n"


def attempt(home: Home, log: Log, *, jobs: int, resume: str | None = None) -> Any:
    pool = pretend.Pool(random.Random(7).choice, effects=log)
    return run(
        MADE, home=home, cwd=home.folder.parent, jobs=jobs, cache=False, resume=resume, pool_factory=pool
    )


def recorded(home: Home) -> tuple[str | None, set[str]]:
    """The newest run, if there is one, and the steps that it has finished; the database is sound."""
    ledger = Ledger(home)
    try:
        assert ledger.database.rows("PRAGMA integrity_check") == [("ok",)]
        assert ledger.database.rows("PRAGMA foreign_key_check") == []
        runs = ledger.lineage.runs()
        if not runs:
            return None, set()
        rows = ledger.lineage.steps(runs[0].id)
        for digest, size in ledger.database.rows("SELECT digest, size FROM artifacts"):
            assert len(ledger.store.get(digest)) == size
        return runs[0].id, {row.name for row in rows if row.state == "done"}
    finally:
        ledger.close()


def go_on(home: Home, log: Log, jobs: int) -> None:
    """Resume until it is done; nothing that was recorded happens again."""
    ident, done = recorded(home)
    before = log.lines()
    assert done <= set(before)
    if ident is None:
        result = attempt(home, log, jobs=jobs)
    elif len(done) == len(MADE.steps):
        return
    else:
        result = attempt(home, log, jobs=jobs, resume=ident)
    assert result.error is None
    again = log.lines()[len(before) :]
    assert not done & set(again)
    assert set(again) | done == {one.name for one in MADE.steps}
    assert len(again) == len(set(again))
    assert result.steps["end"].cells[6].outputs[0]["text"] == ANSWER


def in_a_child(work: Callable[[], None]) -> int:
    """Do something in a process that may not come back; its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            work()
            code = 0
        except NbvertexError:
            code = 71
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Saboteur:
    """Lets the n-th durable call fail."""

    def __init__(self, number: int, how: str) -> None:
        self.left = number
        self.how = how

    def strike(self, *, sql: bool) -> None:
        self.left -= 1
        if self.left != 0:
            return
        if self.how == "exit":
            os._exit(9)
        code = errno.ENOSPC if self.how == "full" else errno.EIO
        if sql:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error
        raise OSError(code, os.strerror(code))

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            self.strike(sql=False)
            return function(*args, **named)

        return call

    def install(self) -> None:
        """In a child: stand before every call that makes something durable."""
        for name in ("fsync", "replace", "fchmod", "mkdir", "unlink", "rmdir"):
            setattr(os, name, self.around(getattr(os, name)))
        connect = database._connect
        database._connect = lambda path: Watched(connect(path), self)  # type: ignore[assignment, return-value]


class Watched:
    """A connection whose writes may fail."""

    def __init__(self, connection: sqlite3.Connection, saboteur: Saboteur) -> None:
        self._connection = connection
        self._saboteur = saboteur

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *rest: Any) -> Any:
        if not sql.lstrip().startswith(("SELECT", "PRAGMA", "ROLLBACK")):
            self._saboteur.strike(sql=True)
        return self._connection.execute(sql, *rest)

    def executemany(self, sql: str, *rest: Any) -> Any:
        self._saboteur.strike(sql=True)
        return self._connection.executemany(sql, *rest)


def points(how: str, jobs: int, folder: Path) -> int:
    """How many durable calls a whole run makes."""
    home, log = Home(folder / f"count-{how}-{jobs}" / "home"), Log(folder / f"count-{how}-{jobs}-log")
    seen = folder / f"count-{how}-{jobs}-seen"

    def work() -> None:
        saboteur = Saboteur(10**9, how)
        saboteur.install()
        attempt(home, log, jobs=jobs)
        seen.write_text(str(10**9 - saboteur.left))

    assert in_a_child(work) == 0
    return int(seen.read_text())


def crash_at(folder: Path, number: int, how: str, jobs: int) -> None:
    """Fail the n-th durable call, then go on."""
    home, log = Home(folder / "home"), Log(folder / "log")

    def work() -> None:
        Saboteur(number, how).install()
        attempt(home, log, jobs=jobs)

    code = in_a_child(work)
    assert code in (0, 9 if how == "exit" else 71), code  # 0: this time there were fewer of them
    go_on(home, log, jobs)


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("how", ["exit", "full", "fault"])
def test_every_tenth_durable_call(tmp_path: Path, how: str, jobs: int) -> None:
    """Whichever call that makes something durable ends the process or fails: the run goes on and is right."""
    total = points(how, jobs, tmp_path)
    assert total > 50
    for number in range(random.Random(how).randint(1, 10), total + 1, 10):
        folder = tmp_path / str(number)
        folder.mkdir()
        crash_at(folder, number, how, jobs)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("how", ["exit", "full", "fault"])
def test_every_durable_call(tmp_path: Path, how: str, jobs: int) -> None:
    """The same for each of them."""
    for number in range(1, points(how, jobs, tmp_path) + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        crash_at(folder, number, how, jobs)


@pytest.mark.parametrize("size", [1_000, 30_000, 64_000, 120_000, 200_000, 2_000_000])
def test_little_space(tmp_path: Path, size: int) -> None:
    """No file may grow beyond some bytes: one error of ours, nothing half written, and with more space it goes on."""
    home, log, told = Home(tmp_path / "home"), Log(tmp_path / "log"), tmp_path / "told"

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        result = attempt(home, log, jobs=1)
        if result.error is not None:
            told.write_text(f"{result.error.code} {result.error}")

    code = in_a_child(work)
    assert code in (0, 71)
    if told.exists():
        assert told.read_text().startswith("disk-full no space left to write /")
    if code == 71:
        assert log.lines() == []
        assert attempt(home, log, jobs=1).error is None
    else:
        go_on(home, log, 1)


def kill_and_go_on(folder: Path, draw: random.Random, depth: int) -> None:
    """Kill a run at some moment, and what resumes it likewise, so many times; then let it end."""
    home, log = Home(folder / "home"), Log(folder / "log")
    for _ in range(depth):
        ident, done = recorded(home) if home.database.exists() else (None, set())
        if len(done) == len(MADE.steps):
            break
        before = log.lines()
        pid = os.fork()
        if pid == 0:
            try:
                attempt(home, log, jobs=draw.choice([1, 2, 4]), resume=ident)
            finally:
                os._exit(0)
        time.sleep(draw.uniform(0.0, 0.12))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert not done & set(log.lines()[len(before) :])
    go_on(home, log, 2)


def test_kill_at_random_moments(tmp_path: Path) -> None:
    """Killed without a word, and again while it resumes: nothing recorded is lost or done again."""
    draw = random.Random(2026)
    for number in range(8):
        (tmp_path / str(number)).mkdir()
        kill_and_go_on(tmp_path / str(number), draw, depth=3)


@pytest.mark.slow
def test_kill_at_many_random_moments(tmp_path: Path) -> None:
    """The same two hundred times, five deep."""
    draw = random.Random()
    for number in range(200):
        (tmp_path / str(number)).mkdir()
        kill_and_go_on(tmp_path / str(number), draw, depth=5)


@pytest.mark.parametrize("harm", ["cut", "zeros", "empty"])
def test_power_cut(tmp_path: Path, harm: str) -> None:
    """What was not yet on the disk is gone, wholly or in part: damage is told or mended, never believed."""
    draw = random.Random(harm)
    home, log = Home(tmp_path / "home"), Log(tmp_path / "log")
    attempt(home, log, jobs=1)
    for path in [path for path in home.artifacts.rglob("*") if path.is_file()]:
        data = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(
            {"cut": data[: draw.randrange(len(data))], "zeros": bytes(len(data)), "empty": b""}[harm]
        )
    one = run(MADE, home=home, cwd=tmp_path, pool_factory=pretend.Pool(), jobs=1, only="end", cache=False)
    assert one.error is not None
    result = run(MADE, home=home, cwd=tmp_path, pool_factory=pretend.Pool(), jobs=1)
    assert result.steps["end"].cells[6].outputs[0]["text"] == ANSWER


# --- several runs at once -------------------------------------------------------------------------------


TWIN = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import pretend, test_resume
from nbvertex.home import Home
from nbvertex.runner import run
folder = Path(sys.argv[2])
sys.stdin.readline()
pool = pretend.Pool(effects=test_resume.Log(folder / "log"))
result = run(test_resume.PURE, home=Home(folder / "home"), cwd=folder, jobs=2, pool_factory=pool)
print(result.error, result.steps["s9"].cells[10].outputs[0]["text"].strip())
"""

PURE = pretend.chain(*[(f"s{n}", f"effect('s{n}')\nx = {n}\nprint(x)") for n in range(10)])


@pytest.mark.parametrize("count", [2, 8])
def test_runs_at_once_share_their_work(tmp_path: Path, count: int) -> None:
    """Of runs that need the same, one computes and the others wait: no step runs twice, nothing is locked."""
    command = [sys.executable, "-c", TWIN, str(Path(__file__).parent), str(tmp_path)]
    started = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    for one in started:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    told = [one.communicate(timeout=120) for one in started]
    assert [out for out, _ in told] == ["None 9\n"] * count, told
    assert sorted(Log(tmp_path / "log").lines()) == sorted(f"s{n}" for n in range(10))
    assert os.listdir(tmp_path / "home" / "locks") == []
