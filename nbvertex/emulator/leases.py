"""Who holds the emulator; it ends when the last one lets go."""

from __future__ import annotations

import threading
from collections.abc import Callable

from nbvertex.emulator.problem import ApiError


class Leases:
    """The holders of one emulator."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()
        self._end: Callable[[], None] | None = None
        self.ended = False

    def taken(self, end: Callable[[], None] | None = None) -> Callable[[], None]:
        """One more holds it.

        Args:
            end: what ends the emulator when nobody does any more; None: as it was.

        Returns:
            lets go; calling it again does nothing.

        Raises:
            ApiError: the last holder has let go already.
        """
        with self._lock:
            if self.ended:
                raise ApiError("UNAVAILABLE", "The emulator is about to end.")
            self._count += 1
            self._end = end or self._end
        gone = threading.Event()

        def release() -> None:
            with self._lock:
                if gone.is_set():
                    return
                gone.set()
                self._count -= 1
                self.ended = self._count == 0 and self._end is not None
            if self.ended and self._end is not None:
                self._end()

        return release
