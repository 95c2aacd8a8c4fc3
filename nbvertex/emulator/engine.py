"""Where everything that is executed runs: one event loop in a thread of its own, and the processes that it starts."""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from nbvertex.emulator.images import Images
from nbvertex.emulator.memory import Memory
from nbvertex.emulator.processes import Command, Processes, Surroundings
from nbvertex.emulator.spawning import Spawning
from nbvertex.emulator.times import Timer
from nbvertex.emulator.world import World

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, None]]


class Engine:
    """Runs what jobs ask for.

    Args:
        world: the emulator.
    """

    def __init__(self, world: World) -> None:
        folder, settings = world.settings.folder, world.settings
        self._world = world
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="engine", daemon=True)
        self._thread.start()
        self.closing = False
        self.timer = Timer(world.clock.now, world.clock.watch)
        self.memory = Memory(folder / "cache")
        self.spawning = Spawning(folder / "shims", world.buckets.folder)
        from pathlib import Path

        cwd = Path(settings.cwd)
        self.images = Images.of(settings.images, settings.any_image, cwd)
        around = Surroundings(folder / "attempts", world.buckets.folder, cwd)
        self.processes = Processes(self.images, around, self.spawning, self.timer, self._heard)

    def start(self, name: str, work: Work) -> None:
        """Begin work that belongs to a resource; from any thread.

        Args:
            name: the resource's.
            work: what is to be done; it tells its end itself.
        """

        async def begin() -> None:
            self._under_way[name] = self._loop.create_task(self._guarded(name, work))

        self.call(begin())

    def cancel(self, name: str) -> bool:
        """Break off the work of a resource.

        Returns:
            whether there was any.
        """

        async def break_off() -> bool:
            task = self._under_way.get(name)
            return task is not None and task.cancel()

        return self.call(break_off())

    def call(self, work: Coroutine[Any, Any, T], patience: float | None = None) -> T:
        """Do something in the loop, and wait for its end; from any other thread."""
        future: concurrent.futures.Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(patience)

    def preempted(self, job: str) -> float | None:
        """After how many seconds a fault that was asked for takes a job's machine away; None: there is none."""
        fault = self._world.faults.at("preempt", job)
        return None if fault is None else fault.delay

    def close(self) -> None:
        """End all processes; what was under way stays as it stands in the store."""
        if self.closing:
            return
        self.closing = True

        async def end() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            self.spawning.close()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=5) if tasks else None

        self.call(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _guarded(self, name: str, work: Work) -> None:
        try:
            await work()
        except asyncio.CancelledError:
            pass  # whoever cancelled it knows
        except Exception:  # a fault of ours in one job must not stop the others; it is told
            traceback.print_exc(file=sys.stderr)
        finally:
            self._under_way.pop(name, None)

    def _heard(self, command: Command, stream: str, lines: list[str]) -> None:
        severity = "INFO" if stream == "stdout" else "ERROR"
        self._world.logs.say(command.job, command.log, lines, severity, **command.labels)
