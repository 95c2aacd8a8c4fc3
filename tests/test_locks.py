"""A lock is one process's at a time, and nobody's when that process is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from nbvertex.locks import Lock, is_held


def test_only_one_has_it(tmp_path: Path) -> None:
    """A second taker is told no, until the first lets go."""
    one, two = Lock(tmp_path / "l"), Lock(tmp_path / "l")
    assert one.acquire()
    assert not two.acquire()
    assert is_held(tmp_path / "l")
    one.release()
    assert not is_held(tmp_path / "l")
    assert two.acquire()
    two.release()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """A lock that nobody has leaves no file."""
    lock = Lock(tmp_path / "l")
    with lock:
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_waiting(tmp_path: Path) -> None:
    """Whoever waits gets it when it is free, though its file was removed and made anew meanwhile."""
    first = Lock(tmp_path / "l")
    first.acquire()
    others = [Lock(tmp_path / "l") for _ in range(4)]
    order: list[int] = []

    def work(number: int) -> None:
        with others[number]:
            assert order.count(-1) == 0
            order.append(-1)
            order[-1] = number

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    first.release()
    for thread in threads:
        thread.join()
    assert sorted(order) == [0, 1, 2, 3]


HOLDER = """
import sys; from pathlib import Path; from nbvertex.locks import Lock
lock = Lock(Path(sys.argv[1])); lock.acquire(); print("held", flush=True); sys.stdin.read()
"""


def test_killed_holder(tmp_path: Path) -> None:
    """A lock dies with its process, however it dies."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "l")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_held(tmp_path / "l")
        os.kill(holder.pid, signal.SIGKILL)
    assert not is_held(tmp_path / "l")
    with Lock(tmp_path / "l") as lock:
        assert lock.ours
