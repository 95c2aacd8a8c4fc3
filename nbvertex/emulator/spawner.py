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

BUCKETS = "NBVERTEX_EMULATOR_BUCKETS"
"""The variable by which `sitecustomize` knows where the buckets are."""


class Spawner:
    """The loop: requests come in on a socket, processes end."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        control.set_inheritable(False)  # else what is started would hold the emulator's end of it open
        self._jobs: dict[int, str] = {}  # by process id
        self._mounted = False
        self._component: dict[str, Any] | None = None  # what this process has become, where it is a fork
        self._knows_kfp: bool | None = None
        self._woken, wake = os.pipe()
        for end in (self._woken, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def mount(self, buckets: str, scratch: str) -> None:
        """Show the buckets at /gcs to all that is started, where the system lets us; else `sitecustomize` does."""
        import runpy

        file = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside", "mount.py")
        self._mounted = runpy.run_path(file)["show_buckets"](buckets, scratch)

    def serve(self) -> dict[str, Any] | None:
        """Serve until the emulator ends; in a forked child, give the component that it is to run."""
        while True:
            ready, _, _ = select.select([self._control.fileno(), self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 512)
                self._reap()
            if self._control.fileno() in ready and not self._hear():
                break
        if self._component is None:
            for pid in self._jobs:
                _kill(pid, signal.SIGKILL)
        return self._component

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
            return self._start(said, descriptors)
        if "signal" in said:
            for pid, job in self._jobs.items():
                if job == said["id"]:
                    _kill(pid, said["signal"])
        elif "requirements" in said:
            self._tell({"id": said["id"], "missing": missing(said["requirements"])})
        return True

    def _start(self, said: dict[str, Any], descriptors: list[int]) -> bool:
        """Fork; in the child, False where it is to run a component itself."""
        if self._mounted:
            said["env"].pop(BUCKETS, None)
        warm = "component" in said and self._is_warm()
        pid = os.fork()
        if pid == 0:
            try:
                take_place(said, descriptors)
                if not warm:
                    execute(said)
            except BaseException as error:  # nothing may return into the parent's loop
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
                os._exit(127)
            os.close(self._woken)
            self._control.close()
            self._component = said
            return False
        self._jobs[pid] = said["id"]
        for one in descriptors:
            os.close(one)
        self._tell({"id": said["id"], "pid": pid})
        return True

    def _is_warm(self) -> bool:
        """Import what every Python component of kfp imports, once; whether it is there."""
        if self._knows_kfp is None:
            from importlib import import_module

            os.environ["_KFP_RUNTIME"] = "true"
            try:
                import_module("kfp.dsl.executor_main")
                self._knows_kfp = True
            except Exception:  # whatever it is, the component itself will meet it and tell
                self._knows_kfp = False
        return self._knows_kfp

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


def take_place(said: dict[str, Any], descriptors: list[int]) -> None:
    """In the forked child: its own session, its folder, its streams, the signals as they are at start."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    for target, one in enumerate(descriptors, 1):
        os.dup2(one, target)
        os.close(one)
    os.chdir(said["cwd"])


def execute(said: dict[str, Any]) -> None:
    """In the forked child: be the program that was asked for."""
    code = 127
    try:
        os.execvpe(said["words"][0], said["words"], said["env"])
    except OSError as error:
        code = 126 if isinstance(error, PermissionError) else 127
        os.write(2, f"{said['words'][0]}: {error.strerror}\n".encode())
    finally:
        os._exit(code)


def run_component(said: dict[str, Any]) -> None:
    """In the forked child: run a Python component of kfp as its own command would.

    The command writes the source to a file and starts `python3 -m kfp.dsl.executor_main`; here that module, which
    is all that was imported before, is there already.
    """
    import runpy
    import tempfile
    import time

    os.environ.clear()
    os.environ.update({**said["env"], "_KFP_RUNTIME": "true"})
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    sys.path[:0] = [os.getcwd(), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.modules.pop("sitecustomize", None)
    __import__("sitecustomize")
    source, args = said["component"]
    file = os.path.join(tempfile.mkdtemp(prefix="tmp."), "ephemeral_component.py")
    with open(file, "w", encoding="utf-8") as written:
        written.write(source)
    sys.argv = ["executor_main", "--component_module_path", file, *args]
    sys.excepthook = _without_ours
    sys.modules.pop("kfp.dsl.executor_main", None)  # it runs as the main module
    runpy.run_module("kfp.dsl.executor_main", run_name="__main__", alter_sys=True)


def _without_ours(kind: Any, error: Any, trace: Any) -> None:
    """A traceback as it would be without this file."""
    while trace is not None and not trace.tb_frame.f_code.co_filename.endswith("executor_main.py"):
        trace = trace.tb_next
    if trace is not None:
        error = error.with_traceback(trace)
    sys.__excepthook__(kind, error, error.__traceback__)


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
    spawner = Spawner(socket.socket(fileno=int(sys.argv[1])))
    if len(sys.argv) > 2:
        spawner.mount(*sys.argv[2:])
    component = spawner.serve()
    if component is not None:
        run_component(component)
