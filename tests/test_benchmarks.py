"""The benchmarks can be run: their table, and that none is forgotten. What they measure is not judged here."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

FOLDER = ROOT / "benchmarks"
FILES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("all", "measure"))


def python(code: str) -> str:
    """What a Python in the benchmarks' folder prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True).stdout


def test_all_runs_every_benchmark() -> None:
    """Each file of the folder is named in all.py."""
    assert sorted(ast.literal_eval(python("import all; print(all.NAMES)"))) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_benchmark_has_rows(name: str) -> None:
    """It can be imported without measuring anything."""
    assert python(f"import {name}; print(callable({name}.rows))") == "True\n"


def test_a_row_says_whether_its_goal_is_met() -> None:
    """A ratio, a time, and what was missed."""
    rows = python(
        "from measure import *\n"
        "print(compare('work', Spent(1.0, 0), Spent(4.0, 0), 'theirs', 0.25))\n"
        "print(Row('array', '3.00 s', '-', 3, 2.5, ' s'))\n"
    )
    assert rows.splitlines() == [
        "| work | 1.00 s | 4.00 s, theirs | 0.250 | 0.250 | yes |",
        "| array | 3.00 s | - | 3.0 s | 2.5 s | **no** |",
    ]


def test_works_are_measured_in_turns() -> None:
    """One after another in each round, so that a busy minute hits all of them; the medians count."""
    printed = python(
        "from measure import *\n"
        "times = iter([1, 10, 5, 20, 3, 30])\n"
        "order = []\n"
        "def work(name):\n"
        "    return lambda: order.append(name) or Spent(next(times), 0)\n"
        "print([spent.wall for spent in in_turns(3, work('a'), work('b'))], ''.join(order))\n"
    )
    assert printed == "[3, 20] ababab\n"


def test_the_chain_is_a_chain(tmp_path: Path) -> None:
    """Each step needs the one before."""
    python(f"from measure import *; chain(Path({str(tmp_path / 'c.ipynb')!r}), 3, 'json')")
    found = subprocess.run(
        [sys.executable, "-m", "nbvertex", "show", str(tmp_path / "c.ipynb")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "from s0: value" in found.stdout
    assert "from s1: value" in found.stdout
