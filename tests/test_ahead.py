"""Processes that start before it is known whether they are needed: used once, or gone without a trace."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nbvertex.ahead import Ahead
from nbvertex.errors import UsageError
from nbvertex.worker import CellEnded, CellJob, Done, Ended, Job, Pool


def environ() -> dict[str, str]:
    """The variables that a run gives to its steps."""
    return {"PYTHONHASHSEED": "0", **os.environ}


def shown(pool: Pool, folder: Path) -> str:
    """What a step prints about itself."""
    source = "import os, sys\nprint(os.getcwd(), os.environ.get('SEEN'), 'wave' in sys.modules)"
    inputs = {"step": "s", "names": {}, "artifacts": []}
    pool.start(Job("one", (CellJob(1, 1, source),), inputs, live=(), cwd=str(folder), scratch=str(folder)))
    printed = ""
    while True:
        for event in pool.poll(30):
            if isinstance(event, CellEnded):
                printed = "".join(str(output["text"]) for output in event.outputs)
            if isinstance(event, Ended):
                assert isinstance(event.result, Done), event
                return printed


def test_pool_is_the_one_that_was_started(tmp_path: Path) -> None:
    """What was expected is used as it is, and learns then what to import."""
    with Ahead(sys.executable, tmp_path) as ahead:
        pool = ahead(sys.executable, preload=("wave",), env=environ(), cwd=str(tmp_path))
        with contextlib.closing(pool):
            assert shown(pool, tmp_path).split() == [str(tmp_path), "None", "True"]


@pytest.mark.parametrize("other", ["folder", "variables"])
def test_other_processes_than_expected(tmp_path: Path, other: str) -> None:
    """Where the run wants another folder or other variables it gets them."""
    folder = tmp_path / "other" if other == "folder" else tmp_path
    folder.mkdir(exist_ok=True)
    env = {**environ(), "SEEN": "yes"} if other == "variables" else environ()
    with Ahead(sys.executable, tmp_path) as ahead:
        pool = ahead(sys.executable, preload=(), env=env, cwd=str(folder))
        with contextlib.closing(pool):
            assert shown(pool, folder).split() == [str(folder), env.get("SEEN", "None"), "False"]


def test_missing_folder_is_told_by_the_run(tmp_path: Path) -> None:
    """What cannot be started ahead says so when it is asked for, not before."""
    gone = tmp_path / "gone"
    with Ahead(sys.executable, gone) as ahead, pytest.raises(UsageError):
        ahead(sys.executable, preload=(), env=environ(), cwd=str(gone))


def test_nothing_stays_where_nothing_runs(tmp_path: Path) -> None:
    """A notebook that cannot be read leaves no process, and costs no patience."""
    script = (
        "import sys; from pathlib import Path; from nbvertex.ahead import Ahead\n"
        "with Ahead(sys.executable, Path('.')) as ahead: print(ahead._pool._warm.pid)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert not Path(f"/proc/{done.stdout.strip()}").exists()
    (tmp_path / "bad.ipynb").write_text(json.dumps({"cells": 3}))
    ran = subprocess.run(
        [sys.executable, "-m", "nbvertex", "run", "bad.ipynb"], capture_output=True, text=True, check=False, cwd=tmp_path
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "error: bad.ipynb" in ran.stderr
