"""What a step's process asks of the operating system."""

from __future__ import annotations

import ctypes
import gc
import io
import os
import signal
import sys

_SET_DEATH_SIGNAL, _SET_SUBREAPER = 1, 36  # of Linux's prctl
_LIBC = ctypes.CDLL(None)


def die_with(parent: int) -> None:
    """Let the system kill this process when its parent ends; at once where that has happened already."""
    if sys.platform == "linux":
        _LIBC.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of those among the descendants whose own parent ends."""
    if sys.platform == "linux":
        _LIBC.prctl(_SET_SUBREAPER, 1)


def how_it_ended(pid: int) -> dict[str, int] | None:
    """The ``signal`` or exit ``code`` of a child that has ended; its number goes to no other until `let_go`."""
    if not hasattr(os, "waitid"):  # older Python on macOS
        ended, status = os.waitpid(pid, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status)
        return None if not ended else {"signal": -code} if code < 0 else {"code": code}
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if found is None:
        return None
    killed = found.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
    return {"signal" if killed else "code": found.si_status}


def let_go(pid: int) -> None:
    """Forget a child that has ended."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # `how_it_ended` could not but do so


def use_as_standard(inputs: str, out: int, err: int) -> None:
    """Make these the standard files of this process."""
    null = os.open(inputs, os.O_RDONLY)
    for number, fd in enumerate((null, out, err)):
        os.dup2(fd, number)
    os.close(null)


def flush_c_output() -> None:
    """Write out what C code has printed and its library still holds back."""
    _LIBC.fflush(None)


def flush_files() -> None:
    """Write out what open files hold back, since a step's process ends without clearing up."""
    kinds: dict[type, bool] = {}
    for thing in gc.get_objects():
        kind = type(thing)  # not `isinstance`: a weak proxy answers for what is gone
        if kind not in kinds:
            kinds[kind] = issubclass(kind, io.IOBase)
        if kinds[kind]:
            try:
                if not thing.closed:
                    thing.flush()
            except (
                Exception
            ):  # its disk is full, its reader gone, its class the user's: it is lost in any case
                continue
