"""Who holds the emulator; it ends when the last one lets go."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Leases:
    """The holders of one emulator."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()
        self._end: Callable[[], None] | None = None

    def taken(self, end: Callable[[], None] | None = None) -> Callable[[], None]:
        """One more holds it.

        Args:
            end: what ends the emulator when nobody does any more; None: as it was.

        Returns:
            lets go; calling it again does nothing.
        """
        with self._lock:
            self._count += 1
            self._end = end or self._end
        gone = threading.Event()

        def release() -> None:
            with self._lock:
                if gone.is_set():
                    return
                gone.set()
                self._count -= 1
                last = self._count == 0
            if last and self._end is not None:
                self._end()

        return release
