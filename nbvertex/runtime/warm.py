"""The warm process: it imports what the steps import and has a child ready for each of them."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
import warnings
from dataclasses import dataclass
from typing import Any, NoReturn

from . import kernel, preload, process, streams, tree, widgets, wire

_TRIES = 3
_FDS = 3  # a step is given its socket and its two pipes


def main(arguments: list[str]) -> NoReturn:
    """Be the warm process, or a spare child that was not forked.

    Args:
        arguments: ``warm`` or ``spare``, the descriptor of the socket to the host or to the warm process,
            and the settings as JSON: ``preload``, ``without``, ``spawn``, ``later`` (a pipe that tells ``preload``).
    """
    try:
        _begin(*arguments)
    except Exception:  # `sys.stderr` may hold back what it is given: the host reads descriptor 2
        os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
    os._exit(1)


def _begin(role: str, fd: str, text: str) -> None:
    settings: dict[str, Any] = json.loads(text)
    environ, folder = dict(os.environ), os.getcwd()
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in signal.valid_signals()}
    sock = socket.socket(fileno=int(fd))
    sock.set_inheritable(False)
    connection = kernel.set_arguments()
    try:
        from . import shell, step
    except ImportError as error:
        wire.send(sock, {"kind": "broken", "message": str(error), "module": error.name})
        os._exit(1)
    outputs = streams.Stream("stdout", 1), streams.Stream("stderr", 2)
    sys.stdout, sys.stderr = outputs
    ip = shell.make_shell(connection)
    shell.forbid_input()
    shown = widgets.Widgets(ip.kernel)
    shown.install()
    if "later" in settings:
        settings["preload"] = _told(settings.pop("later"))
    birth = Birth(role, int(fd), settings, environ, folder, handlers)
    birth.imports(ip, outputs)
    step.rehearse(ip)
    ready = step.Ready(ip, outputs, shown)
    if role == "spare":
        process.die_with(settings["parent"])
        ready.live(sock)
    Warm(sock, ready, birth).serve()


def _told(pipe: int) -> list[str]:
    with os.fdopen(pipe, "rb") as file:
        text = file.read()
    if not text:  # the host needs no steps, or has gone
        os._exit(0)
    names: list[str] = json.loads(text)
    return names


@dataclass
class Birth:
    """How this process was started, so that it can start again otherwise.

    Args:
        role, fd, settings: see `main`.
        environ, folder, handlers: the environment, the working folder and the signal handlers at the start.
    """

    role: str
    fd: int
    settings: dict[str, Any]
    environ: dict[str, str]
    folder: str
    handlers: dict[int, Any]

    def imports(self, ip: Any, outputs: tuple[streams.Stream, streams.Stream]) -> None:
        """Import ahead; where that leaves what must not stay, start anew without it."""
        spawn = self.settings["spawn"]
        if self.role == "spare" or not spawn:
            loader = preload.Preload(ip, outputs, forks=not spawn)
            loader.run([name for name in self.settings["preload"] if name not in self.settings["without"]])
            if loader.unfit:
                self.settings["without"].update(loader.unfit)
                self._again()
        if not spawn and preload.leftover_threads():
            self.settings["spawn"] = True
            self._again()

    def _again(self) -> NoReturn:
        os.set_inheritable(self.fd, True)
        os.chdir(self.folder)
        for number, handler in self.handlers.items():  # an ignored signal stays ignored in what follows
            if signal.getsignal(number) != handler:
                signal.signal(number, handler)
        os.execve(sys.executable, self.command(self.role, self.fd), self.environ)

    def command(self, role: str, fd: int) -> list[str]:
        folder = os.path.dirname(os.path.abspath(__file__))
        return [sys.executable, folder, role, str(fd), json.dumps(self.settings)]


class Warm:
    """Hands jobs' sockets to children that are ready and reports how they end.

    Args:
        control: the socket to the host.
        ready: a `step.Ready`: what a forked child begins with.
        birth: how this process was started.
    """

    def __init__(self, control: socket.socket, ready: Any, birth: Birth) -> None:
        self.control = control
        self.ready = ready
        self.birth = birth
        self.children: dict[int, str] = {}
        self.ended: set[int] = set()  # not yet reaped
        self.spare: tuple[int, socket.socket] | None = None
        self.decoder = wire.Decoder()
        self.fds: list[int] = []
        self.wake, self.bell = socket.socketpair()

    def serve(self) -> NoReturn:
        """Answer until the host goes."""
        process.adopt_orphans()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self.bell.setblocking(False)
        signal.set_wakeup_fd(self.bell.fileno(), warn_on_full_buffer=False)
        gc.collect()
        gc.freeze()
        settings = self.birth.settings
        self._tell({"kind": "ready", "spawn": settings["spawn"], "without": settings["without"]})
        self.breed()
        while True:
            ready, _, _ = select.select([self.control, self.wake], [], [])
            if self.wake in ready:
                self.wake.recv(4096)
                self._report_ended()
            if self.control in ready:
                data, fds = self._receive()
                self.fds += fds
                if not data:
                    self._leave()
                for header, _ in self.decoder.feed(data):
                    self._obey(header)

    def _receive(self) -> tuple[bytes, list[int]]:
        try:
            return wire.receive(self.control)
        except ConnectionResetError:
            return b"", []

    def _tell(self, header: wire.Header) -> None:
        try:
            wire.send(self.control, header)
        except OSError:
            self._leave()

    def _leave(self) -> NoReturn:
        """The host has gone: nothing of its steps is left."""
        tree.end(os.getpid(), itself=False)
        os._exit(0)

    def _obey(self, header: wire.Header) -> None:
        if header["kind"] == "start":
            mine, self.fds = self.fds[:_FDS], self.fds[_FDS:]
            self._start(header["id"], mine)
        elif header["kind"] == "reap":
            process.let_go(header["pid"])
            self.ended.discard(header["pid"])

    def _start(self, job: str, fds: list[int]) -> None:
        for _ in range(_TRIES):
            pid, sock = self.spare or self.breed()
            self.spare = None
            with sock:
                try:
                    socket.send_fds(sock, [b"."], fds)
                    break
                except (BrokenPipeError, ConnectionResetError):  # somebody has killed it while it waited
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        else:
            self._tell({"kind": "broken", "message": f"no process for a step ({code})", "module": None})
            self._leave()
        for fd in fds:
            os.close(fd)
        self.children[pid] = job
        self._tell({"kind": "forked", "id": job, "pid": pid})
        self.breed()

    def breed(self) -> tuple[int, socket.socket]:
        """Have the child of the next step ready before it is asked for."""
        ours, theirs = socket.socketpair()
        pid = self._spawn(theirs) if self.birth.settings["spawn"] else self._fork(ours, theirs)
        theirs.close()
        self.spare = pid, ours
        return self.spare

    def _spawn(self, theirs: socket.socket) -> int:
        self.birth.settings["parent"] = os.getpid()
        theirs.set_inheritable(True)
        command = self.birth.command("spare", theirs.fileno())
        # without `setsigdef` an interrupt would be ignored there as it is here
        return os.posix_spawn(
            sys.executable, command, self.birth.environ, setsid=True, setsigdef=[signal.SIGINT]
        )

    def _fork(self, ours: socket.socket, theirs: socket.socket) -> int:
        parent = os.getpid()
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # native threads: those that matter are refused
            pid = os.fork()
        if pid == 0:
            try:
                self._be_child(parent, ours, theirs)
            finally:  # whatever happened: the warm process's own work is not the child's
                os._exit(1)
        ours.recv(1)  # from now on it can be interrupted
        return pid

    def _be_child(self, parent: int, ours: socket.socket, theirs: socket.socket) -> None:
        for sock in (self.control, self.wake, self.bell, ours):
            sock.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        process.die_with(parent)
        theirs.send(b".")
        self.ready.live(theirs)

    def _report_ended(self) -> None:
        known = len(self.ended)
        for pid, job in list(self.children.items()):
            status = process.how_it_ended(pid)
            if status is not None:
                del self.children[pid]
                self.ended.add(pid)
                self._tell({"kind": "exited", "id": job, "pid": pid, **status})
        if len(self.ended) == known:
            self._reap_orphans()

    def _reap_orphans(self) -> None:
        """Let go of processes that steps have left behind and that have ended since."""
        mine = {*self.ended, *self.children, self.spare[0] if self.spare else 0}
        for pid in tree.zombies(os.getpid()) - mine:
            process.let_go(pid)
