"""The processes that a process has started, and theirs: so that none is left."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from os import kill, killpg, listdir  # bound here: cells may put something else in their place
from time import sleep

_ROUNDS = 50


def descendants(root: int) -> set[int]:
    """The processes below one, and those of its session; Linux tells, elsewhere the answer is empty."""
    children: dict[int, list[int]] = {}
    found: set[int] = set()
    for pid, parent, session, state in _processes():
        if state != "Z":
            children.setdefault(parent, []).append(pid)
            if session == root and pid != root:
                found.add(pid)
    queue = [root, *found]
    while queue:
        for pid in children.get(queue.pop(), ()):
            if pid not in found:
                found.add(pid)
                queue.append(pid)
    return found - {root}


def zombies(parent: int) -> set[int]:
    """The children of a process that have ended and that nobody has waited for."""
    return {pid for pid, its_parent, _, state in _processes() if its_parent == parent and state == "Z"}


def end(root: int, *, itself: bool = True) -> None:
    """Kill a process, its group and everything below it.

    Args:
        root: the process; the leader of its group.
        itself: False spares it and its group.
    """
    for _ in range(_ROUNDS):  # what is killed may just have started another
        below = descendants(root)
        if itself:
            _kill(root, killpg)
            _kill(root, kill)
        for pid in below:
            _kill(pid, kill)
        if not below:
            return
        sleep(0.002)


def _kill(pid: int, how: Callable[[int, int], None]) -> None:
    try:
        how(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # gone already, or not ours to end


def _processes() -> Iterable[tuple[int, int, int, str]]:
    """Number, parent, session and state of every process."""
    try:
        names = [name for name in listdir("/proc") if name.isdigit()]
    except OSError:
        return
    for name in names:
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        yield int(name), int(fields[1]), int(fields[3]), fields[0].decode()
