"""The side of whoever wants an emulator: finds the one that is running, or starts one, and holds it as long as it is needed.

An emulator locks its folder, so that there is one for each. It ends when the last program that holds it has ended, however
that ended: the one that started it holds its stdin, the others a connection.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from nbvertex.emulator.environment import FORGOTTEN
from nbvertex.errors import Refused, RemoteError

PATIENCE = 60.0
SHARED = "shared"
"""What an emulator says to whoever has started it and lets go, while others hold it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an emulator is started with, or must have been started with.

    Args:
        folder: where its state lies.
        project: the project that programs get from their environment.
        bucket: a bucket that is made at start; None: none.
        port: of the loopback; 0: any.
        any_image: the interpreter for images that no table has.
        images: the table of images.
    """

    folder: Path
    project: str = "emulator"
    bucket: str | None = None
    port: int = 0
    any_image: str | None = None
    images: Mapping[str, Any] | None = None

    def settings(self, **more: object) -> dict[str, Any]:
        """As the emulator's process reads it."""
        return {
            "folder": str(self.folder.absolute()), "cache": str(cache_folder()), "project": self.project,
            "bucket": self.bucket or "", "port": self.port, "cwd": os.getcwd(), "any_image": self.any_image or "",
            "images": dict(self.images or {}), **more,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reached:
    """An emulator that is running.

    Args:
        url: its address.
        environment: what a program must have in its environment to reach it.
    """

    url: str
    environment: Mapping[str, str]

    def environ(self, own: Mapping[str, str]) -> dict[str, str]:
        """The environment of a program that would have that one otherwise."""
        return {**{k: v for k, v in own.items() if k not in FORGOTTEN}, **self.environment}


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where what clients say is kept, for all projects of a user."""
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nbvertex" / "emulator"


def running(wanted: Wanted) -> Reached | None:
    """The emulator that is running in that folder, or None.

    Raises:
        Refused: it was started with other images.
    """
    try:
        address = json.loads((wanted.folder / "running.json").read_text(encoding="utf-8"))["url"]
        said = _asked(address, wanted)
    except (OSError, ValueError, http.client.HTTPException):
        return None
    if said["folder"] != str(wanted.folder.absolute()):
        return None  # the port of one that was killed has become another's
    if wanted.any_image not in (None, said["any_image"]) or wanted.images not in (None, said["images"]):
        raise Refused(
            f"an emulator is running at {address} that maps images in another way",
            hint="end it first, or name another folder with --dir",
        )
    return Reached(address, said["environment"])


def _asked(address: str, wanted: Wanted) -> dict[str, Any]:
    """What the emulator says to somebody who wants to use it."""
    query = urlencode({"project": wanted.project, "bucket": wanted.bucket or ""})
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", f"/environment?{query}")
        reply = connection.getresponse()
        if reply.status != 200:
            raise ValueError(reply.read()[:200])
        said: dict[str, Any] = json.loads(reply.read())
        return said


@contextlib.contextmanager
def held(wanted: Wanted) -> Iterator[Reached]:
    """An emulator, as long as the block lasts: the one that is running in the folder, or a new one.

    Raises:
        Refused: it cannot start, or one is running with other images.
        RemoteError: it did not start.
    """
    with contextlib.ExitStack() as stack:
        yield _taken(wanted, stack)


def _taken(wanted: Wanted, stack: contextlib.ExitStack) -> Reached:
    """The emulator of that folder; the stack lets go of it. Others may start or end one at the same time."""
    until = time.monotonic() + PATIENCE
    while True:
        found = running(wanted)
        if found is not None and _leased(found, stack):
            return found
        late = time.monotonic() > until
        if found is None and (late or not _busy(wanted.folder)):
            try:
                return stack.enter_context(_own(wanted))
            except Refused as error:
                if error.code != "running" or late:
                    raise
        time.sleep(0.05)


def _busy(folder: Path) -> bool:
    """Whether an emulator is starting or ending there."""
    try:
        with locked(folder):
            return False
    except Refused:
        return True


def _leased(found: Reached, stack: contextlib.ExitStack) -> bool:
    """Hold an emulator that somebody else has started; False where it is about to end."""
    connection = http.client.HTTPConnection(urlsplit(found.url).netloc)
    try:
        connection.request("GET", "/lease")
        held = connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        held = False
    if held:
        stack.callback(connection.close)
    else:
        connection.close()
    return held


@contextlib.contextmanager
def _own(wanted: Wanted) -> Iterator[Reached]:
    """A new emulator; it ends with the block, or with its last holder."""
    process = _started(wanted)
    assert process.stdin is not None
    try:
        yield _ready(process, wanted.folder)
    finally:
        process.stdin.close()
        _part(process)


def _part(process: subprocess.Popen[str]) -> None:
    """Wait until an emulator has ended; one that others hold says so, and lives on."""
    assert process.stdout is not None
    patience = threading.Timer(PATIENCE, process.kill)
    patience.start()
    with process.stdout:
        shared = process.stdout.readline().strip() == SHARED
    if shared:
        process.returncode = 0  # it is nobody's child any more
    else:
        process.wait()
    patience.cancel()


def _started(wanted: Wanted) -> subprocess.Popen[str]:
    wanted.folder.mkdir(parents=True, exist_ok=True)
    with (wanted.folder / "server.log").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "nbvertex.emulator"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            text=True, start_new_session=True, cwd="/",
        )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(wanted.settings(leased=True)) + "\n")
    process.stdin.flush()
    return process


def _ready(process: subprocess.Popen[str], folder: Path) -> Reached:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.wait()
        log = (folder / "server.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise RemoteError(
            f"the emulator has not started: {log[-1] if log else f'exit code {process.returncode}'}",
            hint=f"{folder / 'server.log'} has the rest",
        )
    said = json.loads(line)
    if "error" in said:
        raise Refused(said["error"], hint=said.get("hint"), code=said.get("code"))
    return Reached(said["url"], said["environment"])


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder, for one emulator alone.

    Raises:
        Refused: another one has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"an emulator is running in {folder}",
                hint="`nbvertex emulator env` says how to reach it; --dir names another folder",
                code="running",
            ) from None
        yield
