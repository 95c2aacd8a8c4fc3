"""The emulator's time: that of the machine, and what tests have advanced it by."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Now(Protocol):
    """Tells the time, in seconds since the epoch."""

    def __call__(self) -> float: ...


POLL = 0.05  # seconds of the machine between two looks at a clock that may have been advanced


class Timer:
    """To sleep by a clock.

    Args:
        now: tells the time; it may jump ahead.
    """

    def __init__(self, now: Now = time.time) -> None:
        self.now = now

    async def sleep(self, seconds: float) -> None:
        """Wait until this much time has passed on the clock."""
        await self.until(self.now() + seconds)

    async def until(self, moment: float) -> None:
        """Wait until the clock shows this moment."""
        while (left := moment - self.now()) > 0:
            await asyncio.sleep(min(left, POLL))
