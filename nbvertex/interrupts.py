"""Ctrl-C and a request to terminate, heard only where nothing is cut in two by it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Within the block, a signal that asks to stop raises KeyboardInterrupt in `listening` or `check`, nowhere else."""

    def __init__(self) -> None:
        self._asked = False
        self._listening = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            for number in ASKING:
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup asked for it
                    self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if self._listening:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt where somebody has asked to stop."""
        if self._asked:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """A block that may be broken off at any point."""
        self._listening = True
        try:
            self.check()
            yield
        finally:
            self._listening = False
