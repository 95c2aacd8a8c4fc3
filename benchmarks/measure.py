"""How the benchmarks measure: ours and the baseline in turns, in the same run on the same machine; medians; one table.

A benchmark is a file with `rows()`; `python benchmarks/NAME.py` prints its rows, `python benchmarks/all.py` those of all.
"""

from __future__ import annotations

import os
import platform
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # making.py writes the notebooks

BIN = Path(sys.executable).parent
NBVERTEX = str(BIN / "nbvertex")
PAPERMILL = str(BIN / "papermill")


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        work: what is done.
        ours, theirs: what was measured, with its unit; `theirs` says who.
        figure: what the goal is about: mostly ours divided by theirs.
        goal: it should be at most this.
        unit: of figure and goal; empty: a ratio.
    """

    work: str
    ours: str
    theirs: str
    figure: float
    goal: float
    unit: str = ""

    def __str__(self) -> str:
        met = "yes" if self.figure <= self.goal else "**no**"
        digits = 3 if not self.unit else 1
        figure, goal = (f"{value:.{digits}f}{self.unit}" for value in (self.figure, self.goal))
        return f"| {self.work} | {self.ours} | {self.theirs} | {figure} | {goal} | {met} |"


def machine() -> str:
    """What it was measured on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip()
            for line in cpuinfo.read_text().splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    python = f"Python {platform.python_version()}"
    return ", ".join(
        [f"{cores} cores of {model}", f"{memory:.0f} GiB", platform.system(), python, *_versions()]
    )


def _versions() -> Iterator[str]:
    """What is compared with; JupyterLab, whose dependencies make papermill's start slower, may be missing."""
    for name in ("papermill", "jupyterlab"):
        with suppress(metadata.PackageNotFoundError):
            yield f"{name} {metadata.version(name)}"


def table(rows: Sequence[Row]) -> str:
    """The rows as markdown, with the machine."""
    head = [
        f"{machine()}.",
        "",
        "| work | nbvertex | compared with | figure | goal at most | met |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *map(str, rows)])


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    print(table(rows))


@contextmanager
def workshop() -> Iterator[Path]:
    """An empty folder, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="nbvertex-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@dataclass(frozen=True)
class Spent:
    """What a command cost: seconds by the clock, and seconds of processor time of it and all its children."""

    wall: float
    cpu: float


def command(*words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Spent:
    """Run a command to its end; SystemExit with what it said where it fails."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        words,
        check=False,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise SystemExit(f"{shlex.join(words)} ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def in_turns(repeats: int, *works: Callable[[], Spent]) -> list[Spent]:
    """The medians of several works, done in turns so that a busy minute hits all of them."""
    spent: list[list[Spent]] = [[] for _ in works]
    for _ in range(repeats):
        for work, costs in zip(works, spent, strict=True):
            costs.append(work())
    return [
        Spent(statistics.median(c.wall for c in costs), statistics.median(c.cpu for c in costs))
        for costs in spent
    ]


def compare(work: str, ours: Spent, theirs: Spent, whom: str, goal: float) -> Row:
    """A row of two times by the clock."""
    return Row(work, f"{ours.wall:.2f} s", f"{theirs.wall:.2f} s, {whom}", ours.wall / theirs.wall, goal)


def fresh_run(notebook: Path, *words: str, home: Path | None = None) -> Callable[[], Spent]:
    """`nbvertex run` of a notebook: with a home of its own each time, so that nothing is cached, or with that home."""

    def work() -> Spent:
        folder = home or notebook.parent / "home"
        if home is None:
            shutil.rmtree(folder, ignore_errors=True)
        out = str(notebook.with_name("out.ipynb"))
        return command(
            NBVERTEX,
            "run",
            str(notebook),
            out,
            *words,
            cwd=notebook.parent,
            env={"NBVERTEX_HOME": str(folder)},
        )

    return work


def papermill_run(notebook: Path) -> Callable[[], Spent]:
    """`papermill` of the same notebook."""
    out = str(notebook.with_name("papermill.ipynb"))
    return lambda: command(PAPERMILL, "--no-progress-bar", str(notebook), out, cwd=notebook.parent)


def chain(path: Path, steps: int, *imports: str) -> Path:
    """A notebook of steps each of which needs the one before."""
    from making import cell, write

    cells: list[Any] = [cell("\n".join(f"import {name}" for name in imports) or "import math", "imports")]
    cells += [cell("value = 0", "step:s0")]
    cells += [
        cell(f"value = value + {number}\nprint(value)", f"step:s{number}") for number in range(1, steps)
    ]
    return write(path, cells)
