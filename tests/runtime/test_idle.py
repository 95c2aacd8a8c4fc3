"""Workers that a library keeps for a next call do not forbid a step to end; workers that have something to do, do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbvertex import worker

PATIENCE = 60.0

IDLE: list[tuple[str, str, str]] = [
    ("threads", "from concurrent.futures import ThreadPoolExecutor\nex = ThreadPoolExecutor(2)\nprint(list(ex.map(str, range(3))))",
     "['0', '1', '2']\n"),
    ("threads of nobody", "from concurrent.futures import ThreadPoolExecutor\nprint(list(ThreadPoolExecutor(2).map(str, [1])))",
     "['1']\n"),
    ("processes", "from concurrent.futures import ProcessPoolExecutor\nex = ProcessPoolExecutor(2)\nprint(list(ex.map(abs, [-1])))",
     "[1]\n"),
    ("a pool of processes", "import multiprocessing as mp\npool = mp.get_context('fork').Pool(2)\nprint(pool.map(abs, [-1]))", "[1]\n"),
    ("a pool of threads", "from multiprocessing.pool import ThreadPool\npool = ThreadPool(2)\nprint(pool.map(abs, [-1]))", "[1]\n"),
    ("shared memory", ("from multiprocessing.shared_memory import SharedMemory\n"
     "m = SharedMemory(create=True, size=10); m.buf[0] = 7; print(m.buf[0]); m.close(); m.unlink()"), "7\n"),
    ("joblib", ("from joblib import Parallel, delayed\n"
     "print(Parallel(n_jobs=2)(delayed(abs)(-i) for i in range(3)))"), "[0, 1, 2]\n"),
    ("a shell cell", "%%bash\necho done", "done\n"),
]  # fmt: skip

BUSY: list[tuple[str, str, str]] = [
    ("a thread", "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()", "thread"),
    ("threads", "import time\nfrom concurrent.futures import ThreadPoolExecutor\nex = ThreadPoolExecutor(1); f = ex.submit(time.sleep, 99)",
     "thread"),
    ("a pool", "import multiprocessing as mp, time\npool = mp.get_context('fork').Pool(1); r = pool.apply_async(time.sleep, (99,))",
     "thread"),
    ("a program", "import subprocess; p = subprocess.Popen(['sleep', '99'])", "child process"),
]  # fmt: skip


@pytest.fixture(scope="module")
def pool() -> Iterator[worker.Pool]:
    pool = worker.Pool(sys.executable)
    yield pool
    pool.close()


def run(pool: worker.Pool, folder: Path, source: str) -> tuple[str, worker.Result]:
    inputs = {"step": "s", "names": {}, "artifacts": []}
    cells = (worker.CellJob(1, 1, source),)
    pool.start(worker.Job(str(folder), cells, inputs, live=(), cwd=str(folder), scratch=str(folder)))
    text = ""
    while True:
        for event in pool.poll(PATIENCE):
            if isinstance(event, worker.CellEnded):
                text = "".join(str(output.get("text", output)) for output in event.outputs)
            if isinstance(event, worker.Ended):
                return text, event.result


@pytest.mark.parametrize("source, shown", [pytest.param(*rest, id=name) for name, *rest in IDLE])
def test_idle_workers_are_dismissed(pool: worker.Pool, tmp_path: Path, source: str, shown: str) -> None:
    """The step ends well, and what it has shown is what it would show without them."""
    text, result = run(pool, tmp_path, source)
    assert text == shown
    assert isinstance(result, worker.Done), result


@pytest.mark.parametrize("source, kind", [pytest.param(*rest, id=name) for name, *rest in BUSY])
def test_workers_with_something_to_do_are_told(
    pool: worker.Pool, tmp_path: Path, source: str, kind: str
) -> None:
    """What they do would be lost in silence."""
    _, result = run(pool, tmp_path, source)
    assert isinstance(result, worker.Refused), result
    assert any(kind in problem["message"] for problem in result.problems)
