"""The warm process: it imports what the steps import and forks a child for each of them."""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import sysconfig
from collections.abc import Callable
from typing import NoReturn

from . import process, streams, wire


def main(arguments: list[str]) -> NoReturn:
    """Serve the host on the socket whose descriptor is the first argument, until it goes."""
    control = socket.socket(fileno=int(arguments[0]))
    settings = json.loads(arguments[1])
    _look_like_a_kernel()
    try:
        from . import shell, step
    except ImportError as error:
        wire.send(control, {"kind": "broken", "message": str(error), "module": error.name})
        os._exit(1)
    out, err = streams.Stream("stdout", 1), streams.Stream("stderr", 2)
    sys.stdout, sys.stderr = out, err
    ip = shell.make_shell(sys.argv[2])
    shell.forbid_input()
    for name in settings["preload"]:
        importlib.import_module(name)
    step.rehearse(ip)
    process.adopt_orphans()
    Warm(control, lambda fds: step.live(ip, (out, err), fds)).serve()


def _look_like_a_kernel() -> None:
    """Give user code the path and the arguments that it sees in a notebook kernel."""
    sys.argv = [
        os.path.join(sysconfig.get_path("purelib"), "ipykernel_launcher.py"),
        "-f",
        os.path.expanduser("~/.local/share/jupyter/runtime/kernel.json"),
    ]
    folders = [os.path.basename(path) in ("site-packages", "dist-packages") for path in sys.path]
    sys.path.insert(folders.index(True) if True in folders else 0, "")


class Warm:
    """Forks on request and reports how the children end.

    Args:
        control: the socket to the host.
        live: what a child does with the descriptors that the host gave for it.
    """

    def __init__(self, control: socket.socket, live: Callable[[list[int]], NoReturn]) -> None:
        self.control = control
        self.live = live
        self.children: dict[int, str] = {}
        self.ended: set[int] = set()
        self.decoder = wire.Decoder()
        self.fds: list[int] = []

    def serve(self) -> NoReturn:
        """Answer until the host goes; then nothing of its steps is left."""
        gc.collect()
        gc.freeze()
        self.wake, bell = socket.socketpair()
        bell.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
        self.bell = bell
        wire.send(self.control, {"kind": "ready", "mode": "fork"})
        while True:
            ready, _, _ = select.select([self.control, self.wake], [], [])
            if self.wake in ready:
                self.wake.recv(4096)
                self._report_ended()
            if self.control in ready:
                data, fds = wire.receive(self.control)
                self.fds += fds
                if not data:
                    self._leave()
                for header, _ in self.decoder.feed(data):
                    self._obey(header)

    def _obey(self, header: wire.Header) -> None:
        if header["kind"] == "start":
            mine, self.fds = self.fds[:3], self.fds[3:]
            self._fork(header["id"], mine)
        elif header["kind"] == "reap":
            os.waitpid(header["pid"], 0)
            self.ended.discard(header["pid"])

    def _fork(self, job: str, fds: list[int]) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._let_go()
            process.die_with(parent)
            self.live(fds)
        for fd in fds:
            os.close(fd)
        self.children[pid] = job
        wire.send(self.control, {"kind": "forked", "id": job, "pid": pid})

    def _let_go(self) -> None:
        """In a child: drop what is the warm process's own."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for sock in (self.control, self.wake, self.bell):
            sock.close()

    def _report_ended(self) -> None:
        for pid, job in list(self.children.items()):
            # the process itself stays until the host says so: its number must not go to another meanwhile
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None:
                del self.children[pid]
                self.ended.add(pid)
                killed = found.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
                status = {"signal": found.si_status} if killed else {"code": found.si_status}
                wire.send(self.control, {"kind": "exited", "id": job, "pid": pid, **status})

    def _leave(self) -> NoReturn:
        for pid in [*self.children, *self.ended]:
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        os._exit(0)
