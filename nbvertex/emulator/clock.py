"""The emulator's time: the machine's, moved forward as far as a test asks."""

from __future__ import annotations

import time
from collections.abc import Callable

from nbvertex.emulator.store import Store

SPACE = "clock"


class Clock:
    """Seconds since the epoch, in the emulator.

    Args:
        store: keeps how far it was moved, so that a restart does not turn it back.
        machine: the machine's clock.
    """

    def __init__(self, store: Store, machine: Callable[[], float] = time.time) -> None:
        self._store, self._machine = store, machine
        self._ahead = float(store.note(SPACE, "ahead") or 0)
        self._watchers: list[Callable[[], None]] = []

    def now(self) -> float:
        """What time it is."""
        return self._machine() + self._ahead

    def advance(self, seconds: float) -> float:
        """Move it forward, and wake whoever waits for a time.

        Returns:
            what time it is now.
        """
        with self._store.lock:
            self._ahead += seconds
            self._store.set_note(SPACE, "ahead", self._ahead)
        for watcher in self._watchers:
            watcher()
        return self.now()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have a function called whenever the clock was moved."""
        self._watchers.append(watcher)
