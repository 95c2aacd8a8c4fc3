"""What goes wrong between here and a service: what may be asked again, how often, and how long to wait between."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from nbvertex.errors import RemoteError

T = TypeVar("T")
Kind = Literal["refused", "exists", "missing", "busy", "unsure", "credentials"]


class Fault(Exception):
    """A call that did not end well.

    Args:
        kind: ``refused``: for certain, and for good; ``exists``, ``missing``: the same, about the resource;
            ``busy``: for now; ``unsure``: nobody knows whether it was done; ``credentials``: not known as anybody.
        message: what the service said.
        what: the call.
        after: seconds that the service asks to wait.
    """

    def __init__(self, kind: Kind, message: str, *, what: str = "", after: float | None = None) -> None:
        super().__init__(message)
        self.kind, self.message, self.what, self.after = kind, message, what, after

    def error(self) -> RemoteError:
        """The same in the words for a user."""
        said = f"{self.what}: {self.message}" if self.what else self.message
        return RemoteError(said, hint=_HINTS.get(self.kind), code=f"remote-{self.kind}")


_HINTS = {
    "busy": "the service has no room now: try again later, or ask for more quota",
    "unsure": "the service cannot be reached: see whether the network is, and try again",
    "credentials": "gcloud auth application-default login",
    "refused": "`nbvertex doctor --profile P` says which role or API is missing",
}
PASSES: frozenset[Kind] = frozenset({"busy", "unsure", "credentials"})  # what may be well the next time


@dataclass
class Patience:
    """How often a call is made again.

    Args:
        most: seconds after which nobody waits any longer.
        first, longest: seconds between two calls, at first and at last; each wait is a random part of that.
        refresh: has the credentials made anew.
        now, sleep, part: the clock, to wait, and a random number from 0 to 1.
    """

    most: float = 300.0
    first: float = 1.0
    longest: float = 30.0
    refresh: Callable[[], None] = field(default=lambda: None)
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    part: Callable[[], float] = random.random

    def ask(self, call: Callable[[], T], *, unsure: Callable[[Fault], T | None] | None = None) -> T:
        """Make a call until it is answered.

        Args:
            call: it raises `Fault`.
            unsure: for a call that must not be done twice: looks whether it was done, after each fault that leaves this
                open, and gives what it would have given; None: it was not.

        Raises:
            Fault: it is refused, or patience is at its end.
        """
        since, tries, refreshed = self.now(), 0, False
        while True:
            try:
                return call()
            except Fault as fault:
                if fault.kind == "credentials" and not refreshed:
                    refreshed = True
                    self.refresh()
                    continue
                if fault.kind not in ("busy", "unsure"):
                    raise
                if fault.kind == "unsure" and unsure is not None:
                    found = unsure(fault)
                    if found is not None:
                        return found
                tries += 1
                wait = self.wait(tries, fault.after)
                if self.now() - since + wait > self.most:
                    raise
                self.sleep(wait)

    def wait(self, tries: int, asked: float | None = None) -> float:
        """Seconds before the next call: at random, so that many who wait do not come back together.

        Args:
            tries: how many calls have failed.
            asked: what the service asked for, at least.
        """
        most = min(self.longest, self.first * 2.0 ** min(tries - 1, 30))
        return max(asked or 0.0, most * (0.5 + 0.5 * self.part()))
