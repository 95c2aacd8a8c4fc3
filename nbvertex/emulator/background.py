"""What happens without a call: executors are woken when there is work or when their time has come."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from typing import TypeAlias

from nbvertex.emulator.clock import Clock

Turn: TypeAlias = Callable[[float], float | None]
"""Does what is due at this time of the emulator's clock, quickly; gives when it wants to be called next, or None."""


class Background:
    """One thread that gives each executor its turn.

    Args:
        clock: the emulator's; moving it wakes everybody.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turns: list[Turn] = []
        self._closers: list[Callable[[], None]] = []
        self._woken = threading.Condition()
        self._work, self._closed = False, False
        self._begun, self._done = 0, 0  # rounds
        self._thread: threading.Thread | None = None
        clock.watch(self.wake)

    def add(self, turn: Turn, close: Callable[[], None] = lambda: None) -> None:
        """Let an executor take turns; the first one comes when the emulator has started.

        Args:
            turn: what it does; long work belongs into threads and processes of its own.
            close: ends what it has under way when the emulator ends.
        """
        self._turns.append(turn)
        self._closers.append(close)

    def wake(self) -> None:
        """Give everybody a turn now; may be called from any thread."""
        with self._woken:
            self._work = True
            self._woken.notify_all()

    def settle(self, patience: float = 10.0) -> None:
        """Give everybody a turn now, and wait until all have had it."""
        with self._woken:
            wanted = self._begun + 1
            self._work = True
            self._woken.notify_all()
            self._woken.wait_for(lambda: self._done >= wanted or self._closed, patience)

    def start(self) -> None:
        """Begin to give turns."""
        self._thread = threading.Thread(target=self._run, name="background", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give no more turns, and let the executors end."""
        with self._woken:
            self._closed = True
            self._woken.notify_all()
        if self._thread is not None:
            self._thread.join(10)
        for close in self._closers:
            close()

    def _run(self) -> None:
        while True:
            with self._woken:
                self._begun += 1
            times = [self._turn(turn) for turn in self._turns]
            wanted = [time for time in times if time is not None]
            wait = min(wanted) - self._clock.now() if wanted else None
            with self._woken:
                self._done = self._begun
                self._woken.notify_all()
                if not self._work and not self._closed and (wait is None or wait > 0):
                    self._woken.wait(wait)
                self._work = False
                if self._closed:
                    return

    def _turn(self, turn: Turn) -> float | None:
        try:
            return turn(self._clock.now())
        except Exception:  # one executor's fault must not stop the others; it is told, and tried again
            traceback.print_exc(file=sys.stderr)
            return self._clock.now() + 1.0
