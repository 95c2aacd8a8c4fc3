"""What runs as a container does here: a process in a mapped environment, in a clean folder, with its output kept."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from nbvertex.emulator.images import Image, Images
from nbvertex.emulator.lightweight import component_of, without_installation
from nbvertex.emulator.spawning import Child, Spawning
from nbvertex.emulator.times import Timer


class CannotStart(Exception):
    """A container cannot be started; the message says why."""


@dataclass(frozen=True, slots=True)
class Command:
    """A container to run.

    Args:
        image: as the job names it.
        words, args: command and arguments.
        env: variables that the job sets.
        folder: where its clean folder and its log lie, below the folder of attempts.
        job: the resource under whose name its log entries are found.
        log: the name of its log among that resource's.
        labels: of the entries.
        timeout: seconds it may run.
        preempted: seconds after which its machine is taken away.
    """

    image: str
    words: tuple[str, ...]
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    job: str = ""
    log: str = "workerpool0-0"
    labels: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    preempted: float | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended.

    Args:
        code: its status.
        last: the last line that it printed, to stderr if it did.
        log: the file of all that it printed.
        stopped: `timeout` or `preempted`, where that ended it.
    """

    code: int
    last: str
    log: str
    stopped: str = ""


class Launcher(Protocol):
    """Runs containers."""

    async def run(self, command: Command) -> Exit:
        """Run one until it ends; where the caller is cancelled, no process of it is left.

        Raises:
            Unmapped, CannotStart: it cannot be started.
        """
        ...

    def path(self, uri: str) -> str:
        """The file that a URI stands for."""
        ...


Heard = Callable[[Command, str, list[str]], None]
"""Hears lines of a container: the command, `stdout` or `stderr`, the lines without their ends."""

LONGEST = 1 << 16  # bytes of a line; a longer one is cut
GRACE = 5.0  # seconds between being asked to end and being ended
HERE = Path(__file__).parent
SYSTEM = ("/bin/", "/usr/", "/sbin/")  # in every image; a path elsewhere is one of this machine


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all containers share.

    Args:
        attempts: the folder below which each has its own.
        buckets: the folder in which the buckets lie.
        folder: where commands given by absolute path run; None where they have a clean folder as well.
        path: the search path after the environment's own.
    """

    attempts: Path
    buckets: Path
    folder: Path | None = None
    path: str = field(default_factory=lambda: os.environ.get("PATH", os.defpath))


class Processes:
    """Runs containers as processes of this machine.

    Args:
        images: which environment stands for which image.
        surroundings: what all containers share.
        spawning: starts processes.
        timer: for timeouts.
        heard: hears every line.
        most: how many run at once; more wait.
    """

    def __init__(
        self,
        images: Images,
        surroundings: Surroundings,
        spawning: Spawning,
        timer: Timer,
        heard: Heard = lambda *_: None,
        most: int = 32,
    ) -> None:
        self._images = images
        self._around = surroundings
        self._spawning = spawning
        self._timer = timer
        self._heard = heard
        self._turns = asyncio.Semaphore(most)

    def path(self, uri: str) -> str:
        """As `Launcher.path`."""
        if uri.startswith("gs://"):
            return str(self._around.buckets / uri[len("gs://") :])
        return uri.removeprefix("file://")

    async def run(self, command: Command) -> Exit:
        """As `Launcher.run`."""
        async with self._turns:
            return await self.run_now(command)

    async def run_now(self, command: Command) -> Exit:
        """As `run`, however many run."""
        image = self._images.find(command.image)
        program = command.words or image.entrypoint
        if not program:
            raise CannotStart(
                f"The container has no command, and the image {command.image!r} has no entrypoint in the table of images."
            )
        words, requirements = without_installation((*program, *command.args))
        if requirements:
            await self._demand(image, requirements)
        folder = self._around.attempts / command.folder
        log = folder.with_name(f"{folder.name}.log")
        cwd = await asyncio.to_thread(self._prepare, folder, image, words[0])
        env = self._env(image, command, folder)
        try:
            with log.open("ab", buffering=0) as file:
                output = Output(command, file.write, self._heard)
                component = None if self._is_particular(image, command) else component_of(words)
                child = self._spawning.start(image.python, words, env, str(cwd), output.take, component)
                try:
                    stopped = await self._wait(child, command)
                finally:
                    output.closed = True
        finally:
            await asyncio.to_thread(shutil.rmtree, _scratch(folder), ignore_errors=True)
        code = child.code
        return Exit(128 - code if code < 0 else code, output.last, str(log), stopped)

    @staticmethod
    def _is_particular(image: Image, command: Command) -> bool:
        """Whether variables say how the interpreter itself is to start."""
        return any(name.startswith(("PYTHON", "LD_")) for name in (*image.env, *command.env))

    async def _demand(self, image: Image, requirements: list[str]) -> None:
        missing = await self._spawning.missing(image.python, requirements)
        if missing:
            raise CannotStart(
                f"The component wants packages that {image.python} does not have: {', '.join(missing)}. "
                "Nothing is downloaded here: install them into that environment."
            )

    def _prepare(self, folder: Path, image: Image, program: str) -> Path:
        """Make the clean folder; where the process works."""
        if folder.exists():
            shutil.rmtree(folder)
        if image.folder:
            shutil.copytree(image.folder, folder, symlinks=True)
        else:
            folder.mkdir(parents=True)
        if self._around.folder is not None and os.path.isabs(program) and not program.startswith(SYSTEM):
            return self._around.folder
        return folder

    def _env(self, image: Image, command: Command, folder: Path) -> dict[str, str]:
        home, temporary = _scratch(folder) / "home", _scratch(folder) / "tmp"
        for one in (home, temporary):
            one.mkdir(parents=True, exist_ok=True)
        programs = self._spawning.programs(image.python)
        env = {
            "PATH": f"{programs}{os.pathsep}{self._around.path}",
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "NBVERTEX_EMULATOR_BUCKETS": f"{self._around.buckets}/",
            **image.env,
            **{name: self._inside(value) for name, value in command.env.items()},
        }
        given = env.get("PYTHONPATH")
        env["PYTHONPATH"] = os.pathsep.join([str(HERE / "inside"), *([given] if given else [])])
        return env

    def _inside(self, value: str) -> str:
        """A variable that names a file below /gcs/, as the file that it is here."""
        return f"{self._around.buckets}/{value[len('/gcs/') :]}" if value.startswith("/gcs/") else value

    async def _wait(self, child: Child, command: Command) -> str:
        """Wait for the end; what brought it about, where that was not the container itself."""
        limits = [(command.timeout, "timeout"), (command.preempted, "preempted")]
        limit = min(((left, why) for left, why in limits if left is not None), default=None)
        try:
            if limit is None:
                await asyncio.wait([child.ended])
                return ""
            alarm = asyncio.get_running_loop().create_task(self._timer.sleep(limit[0]))
            child.ended.add_done_callback(lambda _: alarm.cancel())
            try:
                await asyncio.wait([alarm])
            finally:
                alarm.cancel()
            if child.ended.done():
                return ""
            await child.stop(GRACE)
            return limit[1]
        except asyncio.CancelledError:
            await asyncio.shield(child.stop(GRACE))
            raise


def _scratch(folder: Path) -> Path:
    """Where the home and the temporary files of an attempt are; gone after it."""
    return folder.with_name(f"{folder.name}.tmp")


class Output:
    """The output of one container: kept and told line by line."""

    def __init__(self, command: Command, write: Callable[[bytes], object], heard: Heard) -> None:
        self._command = command
        self._write = write
        self._heard = heard
        self._rest = {"stdout": b"", "stderr": b""}
        self._last = {"stdout": "", "stderr": ""}
        self.closed = False

    @property
    def last(self) -> str:
        """The last line that says something: of what went to stderr, where anything did."""
        return self._last["stderr"] or self._last["stdout"]

    def take(self, stream: str, data: bytes) -> None:
        """Take what came; nothing means that the stream has ended."""
        if self.closed:
            return
        *lines, rest = (self._rest[stream] + data).split(b"\n")
        if rest and (not data or len(rest) > LONGEST):
            lines, rest = [*lines, rest], b""
        self._rest[stream] = rest
        if lines:
            self._write(b"".join(line + b"\n" for line in lines))
            said = [line.decode("utf-8", "replace").rstrip("\r") for line in lines]
            told = (one.strip()[:500] for one in reversed(said) if one.strip())
            self._last[stream] = next(told, self._last[stream])
            self._heard(self._command, stream, said)
