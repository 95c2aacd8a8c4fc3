"""To sleep by the emulator's clock, which may jump ahead."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

Watch = Callable[[Callable[[], None]], None]


class Timer:
    """Sleepers by a clock.

    Args:
        now: tells the time, in seconds since the epoch.
        watch: has a function called whenever the clock was moved; from any thread.
    """

    def __init__(self, now: Callable[[], float] = time.time, watch: Watch = lambda _: None) -> None:
        self.now = now
        self._sleepers: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        watch(self._wake)

    async def sleep(self, seconds: float) -> None:
        """Wait until this much time has passed on the clock."""
        await self.until(self.now() + seconds)

    async def until(self, moment: float) -> None:
        """Wait until the clock shows this moment."""
        woken = asyncio.Event()
        self._sleepers[woken] = asyncio.get_running_loop()
        try:
            while (left := moment - self.now()) > 0:
                woken.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), left)
        finally:
            del self._sleepers[woken]

    def _wake(self) -> None:
        for sleeper, loop in list(self._sleepers.items()):
            loop.call_soon_threadsafe(sleeper.set)
