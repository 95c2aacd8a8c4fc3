"""Watches what a step does to the world outside: which files it opens, and when it is about to do what others see."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable
from os import _exit, fsdecode, fspath, getcwd  # bound here: cells may put something else in their place
from os.path import isdir, join, normpath
from select import select
from typing import Any

from . import names, streams, wire

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NOBODYS = ("/dev/null", "/dev/tty", "/dev/shm/", "/proc/", "/sys/", "/dev/urandom", "/dev/random")
# events whose first argument is a path that is changed, or whose first two are
_CHANGES = {"os.remove": 1, "os.rename": 2, "os.rmdir": 1, "os.mkdir": 1, "os.link": 2, "os.symlink": 2,
            "os.truncate": 1, "os.chmod": 1, "os.chown": 1, "os.utime": 1, "os.setxattr": 1, "os.removexattr": 1}  # fmt: skip
_EFFECTS = {
    "subprocess.Popen": "start a child process", "os.system": "start a child process", "os.fork": "fork",
    "os.forkpty": "start a child process", "os.posix_spawn": "start a child process",
    "os.spawn": "start a child process", "os.exec": "become another program",
    "socket.connect": "connect to a socket", "socket.bind": "listen on a socket",
    "socket.sendto": "send to a socket", "socket.sendmsg": "send to a socket",
    "os.kill": "signal a process", "os.killpg": "signal a process", "webbrowser.open": "open a browser",
}  # fmt: skip


class Guard:
    """What a step's process has opened; an early one stops before its first effect.

    Args:
        outlet: the way to the host.
        early: wait for the host before the first effect.
        ours: paths that do not count, since the step's values are loaded from there.
        scratch: a folder that does not count, since they are saved there.
    """

    def __init__(
        self, outlet: streams.Outlet, *, early: bool, ours: Iterable[str] = (), scratch: str = ""
    ) -> None:
        self.early = early
        self.writes = False  # something was opened for writing, a pipe perhaps
        self._outlet = outlet
        self._lock = threading.Lock()
        self._opened: dict[str, dict[str, None]] = {"read": {}, "written": {}}
        self._ours = frozenset(ours)
        self._uncounted = (*_NOBODYS, scratch + os.sep, names.FOLDER)
        self._private: set[str] = set()
        self._temporary = os.environ.get("TMPDIR", "/tmp").rstrip(os.sep) + os.sep
        self._hear: dict[str, Callable[[str, tuple[Any, ...]], None]] = {
            "open": self._open,
            "sqlite3.connect": self._database,
            **dict.fromkeys(_CHANGES, self._change),
            **dict.fromkeys(_EFFECTS, self._effect),
        }

    def watch(self) -> None:
        """Begin; it cannot be ended."""
        hear = self._hear.get

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            listener = hear(event)
            if listener is not None:
                listener(event, arguments)

        sys.addaudithook(hook)

    def files(self) -> dict[str, list[str]]:
        """The files opened so far, those of Python and its packages left out."""
        return {how: list(paths) for how, paths in self._opened.items()}

    # ------------------------------------------------------------------------------------------ what is heard

    def _open(self, event: str, arguments: tuple[Any, ...]) -> None:
        path, _, flags = arguments
        if not flags & _WRITES:
            self._note("read", path)
            return
        self.writes = True
        if isdir(path):  # a file without a name in it, or an error
            return
        if flags & os.O_RDWR and not flags & os.O_TRUNC:
            self._note("read", path)
        self._about_to_write(path, new=bool(flags & os.O_EXCL))

    def _database(self, event: str, arguments: tuple[Any, ...]) -> None:
        if arguments[0] not in (":memory:", ""):
            self._note("read", arguments[0])
            self._about_to_write(arguments[0])

    def _change(self, event: str, arguments: tuple[Any, ...]) -> None:
        for path in arguments[: _CHANGES[event]]:
            self._about_to_write(path, new=event == "os.mkdir")

    def _effect(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.early:
            self._wait(_EFFECTS[event])

    def _about_to_write(self, path: Any, *, new: bool = False) -> None:
        absolute = _absolute(path)
        if absolute is None or absolute.startswith(self._uncounted) or "/__pycache__" in absolute:
            return
        self._opened["written"][absolute] = None
        if self.early and not self._is_private(absolute, new):
            self._wait(f"change {absolute}")

    def _is_private(self, path: str, new: bool) -> bool:
        """It is a temporary file or lies in a temporary folder of this step, whose name nobody else knows."""
        if not path.startswith(self._temporary):
            return False
        top = self._temporary + path[len(self._temporary) :].partition(os.sep)[0]
        if new and top == path:
            self._private.add(top)
        return top in self._private

    def _note(self, how: str, path: Any) -> None:
        absolute = _absolute(path)
        if (
            absolute is None
            or absolute in self._ours
            or absolute.startswith((*self._uncounted, *_installed()))
        ):
            return
        self._opened[how][absolute] = None

    # ------------------------------------------------------------------------------------------------ waiting

    def _wait(self, what: str) -> None:
        if not self._outlet.mine:
            return
        with self._lock:  # other threads wait for the one that asks
            if not self.early:
                return
            if not select([self._outlet.sock], [], [], 0)[0]:
                self._outlet.frame({"kind": "waiting", "what": what})
            if wire.read(self._outlet.sock) is None:
                _exit(1)
            self.early = False


def _absolute(path: Any) -> str | None:
    try:
        given = fspath(path)
    except TypeError:  # a descriptor: its file was seen when it was opened
        return None
    text = fsdecode(given)
    try:
        return normpath(text if text.startswith("/") else join(getcwd(), text))
    except FileNotFoundError:  # the working folder has been removed
        return None


@functools.cache
def _installed() -> tuple[str, ...]:
    """Where Python and its packages lie."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {sysconfig.get_path(name) for name in names} | {sys.prefix + "/lib", sys.base_prefix + "/lib"}
    ours = os.path.dirname(os.path.abspath(__file__))
    return tuple(folder.rstrip(os.sep) + os.sep for folder in (*folders, ours))
