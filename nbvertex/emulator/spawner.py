"""Runs as a script in a mapped environment: forks what the emulator asks for, tells how it ends, dies with the emulator.

The standard library only, of any Python from 3.9 on. Frames on a Unix socket: 4 bytes length, JSON; a frame that starts
a process brings the write ends of its standard output and error.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import sys
from typing import Any


class Spawner:
    """The loop: requests come in on a socket, processes end."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._jobs: dict[int, str] = {}  # by process id
        self._woken, wake = os.pipe()
        for end in (self._woken, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._control.fileno(), self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 512)
                self._reap()
            if self._control.fileno() in ready and not self._hear():
                break
        for pid in self._jobs:
            _kill(pid, signal.SIGKILL)

    def _hear(self) -> bool:
        head, descriptors, _, _ = socket.recv_fds(self._control, 4, 2)
        while head and len(head) < 4:
            head += self._control.recv(4 - len(head))
        if not head:
            return False
        left, parts = struct.unpack(">I", head)[0], []
        while left:
            part = self._control.recv(min(left, 1 << 16))
            if not part:
                return False
            parts.append(part)
            left -= len(part)
        said = json.loads(b"".join(parts))
        if "words" in said:
            self._start(said, descriptors)
        elif "signal" in said:
            for pid, job in self._jobs.items():
                if job == said["id"]:
                    _kill(pid, said["signal"])
        else:
            self._tell({"id": said["id"], "missing": missing(said["requirements"])})
        return True

    def _start(self, said: dict[str, Any], descriptors: list[int]) -> None:
        pid = os.fork()
        if pid == 0:
            become(said, descriptors)
        self._jobs[pid] = said["id"]
        for one in descriptors:
            os.close(one)

    def _reap(self) -> None:
        while self._jobs:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            job = self._jobs.pop(pid, None)
            if job is not None:
                _kill(pid, signal.SIGKILL)  # a container ends with its first process
                self._tell({"id": job, "code": os.waitstatus_to_exitcode(status)})

    def _tell(self, said: dict[str, Any]) -> None:
        data = json.dumps(said).encode()
        self._control.sendall(struct.pack(">I", len(data)) + data)


def _kill(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass  # nothing of it is left


def become(said: dict[str, Any], descriptors: list[int]) -> None:
    """In the forked child: be the process that was asked for."""
    code = 127
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in range(1, signal.NSIG):
            if signal.getsignal(number) not in (signal.SIG_DFL, None) and number != signal.SIGKILL:
                signal.signal(number, signal.SIG_DFL)
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        for target, one in enumerate(descriptors, 1):
            os.dup2(one, target)
            os.close(one)
        os.chdir(said["cwd"])
        try:
            os.execvpe(said["words"][0], said["words"], said["env"])
        except OSError as error:
            code = 126 if isinstance(error, PermissionError) else 127
            os.write(2, f"{said['words'][0]}: {error.strerror}\n".encode())
    except BaseException as error:  # nothing may return into the parent's loop
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def missing(requirements: list[str]) -> list[str]:
    """Those of the requirements that this environment does not fulfil."""
    from importlib import import_module, metadata

    try:
        packaging = import_module("packaging.requirements")
    except ImportError:
        packaging = import_module("pip._vendor.packaging.requirements")
    found = []
    for text in requirements:
        try:
            wanted = packaging.Requirement(text)
            if wanted.marker is not None and not wanted.marker.evaluate():
                continue
            held = metadata.version(wanted.name)
        except (packaging.InvalidRequirement, metadata.PackageNotFoundError):
            found.append(text)
            continue
        if wanted.name != "kfp" and not wanted.specifier.contains(held, prereleases=True):
            found.append(f"{text} (there is {held})")
    return found


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file is no business of what runs here
    Spawner(socket.socket(fileno=int(sys.argv[1]))).serve()
