"""The emulator's side of `spawner`: one for each environment, started when it is first needed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Take = Callable[[str, bytes], None]
"""Hears what a process writes: the stream and the bytes, none of them at its end."""

Component = tuple[str, list[str]] | None
"""The source of a Python component of kfp and its arguments: it may run in a fork of the spawner."""

SCRIPT = Path(__file__).with_name("spawner.py")
LAST_WORDS = 1.0  # seconds to wait for the end of the output after the process has ended


class SpawnerDied(Exception):
    """An environment's interpreter cannot start processes, or has ended."""


@dataclass(slots=True, eq=False)
class Child:
    """A process under way."""

    id: str
    spawner: Spawner
    ended: asyncio.Future[int]
    pid: int = 0
    streams: dict[int, str] = field(default_factory=dict)
    silent: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def code(self) -> int:
        """Its exit code; negative where a signal ended it."""
        return self.ended.result()

    async def stop(self, grace: float) -> None:
        """Ask it to end, and end it where it does not; return when nothing of it is left."""
        self.spawner.tell({"id": self.id, "signal": int(signal.SIGTERM)})
        await asyncio.wait({self.ended}, timeout=grace)
        if not self.ended.done():
            self.spawner.tell({"id": self.id, "signal": int(signal.SIGKILL)})
            await asyncio.wait({self.ended})


class Spawner:
    """One environment's: processes are started in it and end."""

    def __init__(self, python: str, mounts: Sequence[str]) -> None:
        self.python = python
        self._loop = asyncio.get_running_loop()
        self._control, theirs = socket.socketpair()
        self._children: dict[str, Child] = {}
        self._answers: dict[str, asyncio.Future[list[str]]] = {}
        self._heard = b""
        self._number = 0
        try:
            self.process = subprocess.Popen(
                [python, str(SCRIPT), str(theirs.fileno()), *mounts],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={"PATH": os.defpath, "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        except OSError:
            self._control.close()
            raise
        finally:
            theirs.close()
        self._loop.add_reader(self._control, self._hear)

    @property
    def alive(self) -> bool:
        return self._control.fileno() >= 0 and self.process.poll() is None

    def start(
        self, words: Sequence[str], env: Mapping[str, str], cwd: str, take: Take, component: Component = None
    ) -> Child:
        """Start a process."""
        self._number += 1
        child = Child(str(self._number), self, self._loop.create_future())
        self._children[child.id] = child
        ours, theirs = [], []
        for stream in ("stdout", "stderr"):
            reading, writing = os.pipe()
            os.set_blocking(reading, False)
            ours.append((reading, stream))
            theirs.append(writing)
        said: dict[str, Any] = {"id": child.id, "words": list(words), "env": dict(env), "cwd": cwd}
        if component is not None:
            said["component"] = component
        try:
            self.tell(said, theirs)
        finally:
            for one in theirs:
                os.close(one)
        for reading, stream in ours:
            child.streams[reading] = stream
            self._loop.add_reader(reading, self._read, child, reading, take)
        return child

    async def missing(self, requirements: Sequence[str]) -> list[str]:
        """Those of the requirements that the environment does not fulfil."""
        self._number += 1
        answer = self._answers[str(self._number)] = self._loop.create_future()
        self.tell({"id": str(self._number), "requirements": list(requirements)})
        missing: list[str] = await answer
        return missing

    def tell(self, said: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a request.

        Raises:
            SpawnerDied: it has ended.
        """
        data = json.dumps(said).encode()
        try:
            if descriptors:
                socket.send_fds(self._control, [struct.pack(">I", len(data))], list(descriptors))
            else:
                self._control.sendall(struct.pack(">I", len(data)))
            self._control.sendall(data)
        except OSError as error:
            raise SpawnerDied(f"The interpreter {self.python} does not run, or has ended.") from error

    def close(self) -> None:
        """End it and all that it has started."""
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control)
            self._control.close()
        self.process.wait()

    def _hear(self) -> None:
        try:
            data = self._control.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            self._died()
            return
        self._heard += data
        while len(self._heard) >= 4:
            size = struct.unpack(">I", self._heard[:4])[0]
            if len(self._heard) < 4 + size:
                return
            said, self._heard = json.loads(self._heard[4 : 4 + size]), self._heard[4 + size :]
            if "missing" in said:
                self._answers.pop(said["id"]).set_result(said["missing"])
            elif "pid" in said:
                self._children[said["id"]].pid = said["pid"]
            else:
                self._loop.create_task(self._finish(self._children.pop(said["id"]), said["code"]))

    async def _finish(self, child: Child, code: int) -> None:
        if child.streams:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.silent.wait(), LAST_WORDS)
        for reading in list(child.streams):
            self._forget(child, reading)
        if not child.ended.done():
            child.ended.set_result(code)

    def _died(self) -> None:
        self._loop.remove_reader(self._control)
        self._control.close()
        for child in self._children.values():
            if not child.pid:
                child.ended.set_exception(
                    SpawnerDied(f"The interpreter {self.python} does not run, or has ended.")
                )
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            self._loop.create_task(self._finish(child, -int(signal.SIGKILL)))
        self._children.clear()
        for answer in self._answers.values():
            answer.set_exception(SpawnerDied(f"The interpreter {self.python} does not run, or has ended."))
        self._answers.clear()

    def _read(self, child: Child, reading: int, take: Take) -> None:
        try:
            data = os.read(reading, 1 << 16)
        except BlockingIOError:
            return
        take(child.streams[reading], data)
        if not data:
            self._forget(child, reading)

    def _forget(self, child: Child, reading: int) -> None:
        self._loop.remove_reader(reading)
        os.close(reading)
        del child.streams[reading]
        if not child.streams:
            child.silent.set()


class Spawning:
    """The spawners of all environments.

    Args:
        shims: a folder for programs that an environment should have and has not.
        buckets: the folder that is shown at /gcs, where the system lets us mount; None: none is.
    """

    def __init__(self, shims: Path, buckets: Path | None = None) -> None:
        self._shims = shims
        self._buckets = buckets
        self._spawners: dict[str, Spawner] = {}
        self._programs: dict[str, str] = {}

    def start(
        self,
        python: str,
        words: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        take: Take,
        component: Component = None,
    ) -> Child:
        """Start a process in an environment.

        Raises:
            SpawnerDied: the environment's interpreter does not run.
        """
        return self._of(python).start(words, env, cwd, take, component)

    async def missing(self, python: str, requirements: Sequence[str]) -> list[str]:
        """Those of the requirements that an environment does not fulfil."""
        return await self._of(python).missing(requirements)

    def programs(self, python: str) -> str:
        """The folders, as for PATH, in which `python` and `python3` are this interpreter, and `pip` is `offline_pip`."""
        if python not in self._programs:
            self._programs[python] = self._made(python)
        return self._programs[python]

    def _made(self, python: str) -> str:
        import hashlib
        import shlex

        folder, pip = os.path.dirname(python), Path(__file__).with_name("inside") / "offline_pip.py"
        shims = self._shims / hashlib.sha256(python.encode()).hexdigest()[:12]
        shims.mkdir(parents=True, exist_ok=True)
        words = {name: [python, str(pip)] for name in ("pip", "pip3")}
        beside = [os.path.join(folder, name) for name in ("python", "python3")]
        if not all(os.path.exists(one) and os.path.samefile(one, python) for one in beside):
            words |= {name: [python] for name in ("python", "python3")}
        for name, command in words.items():
            (shims / name).write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
            (shims / name).chmod(0o755)
        return f"{shims}{os.pathsep}{folder}"

    def _mounts(self) -> Sequence[str]:
        """What a spawner is told to mount: the buckets, and a folder that may become the root."""
        if self._buckets is None:
            return ()
        root = self._shims / "root"
        root.mkdir(parents=True, exist_ok=True)
        return str(self._buckets), str(root)

    def _of(self, python: str) -> Spawner:
        spawner = self._spawners.get(python)
        if spawner is None or not spawner.alive:
            try:
                spawner = self._spawners[python] = Spawner(python, self._mounts())
            except OSError as error:
                raise SpawnerDied(f"The interpreter {python} does not run: {error.strerror}") from error
        return spawner

    def close(self) -> None:
        """End all processes."""
        for spawner in self._spawners.values():
            spawner.close()
        self._spawners.clear()
