"""Faults on demand: what tests ask to go wrong, and how often."""

from __future__ import annotations

import fnmatch
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbvertex.emulator.problem import STATUSES, ApiError

FIELDS = {
    "method",
    "identity",
    "status",
    "message",
    "delay",
    "drop",
    "skip",
    "count",
    "quota",
    "per",
    "point",
    "name",
}


@dataclass(slots=True)
class Fault:
    """One rule.

    Args:
        id: its number.
        method: which calls, as `Service.Method` with wildcards, e.g. ``JobService.Create*``, ``Storage.*``.
        identity: whose calls, with wildcards.
        name: of which resource, with wildcards.
        point: not a call but a moment that an executor asks about, e.g. ``preempt``.
        status: the answer instead of the service; None: the call is served.
        message: what it says.
        delay: seconds to wait before.
        drop: serve the call, then break the connection before the reply.
        skip: how many matching calls are let through first.
        count: how many are hit then; None: all.
        quota: with `per`: as many calls are served in as many seconds, the others exhaust it.
        per: seconds.
    """

    id: int
    method: str = "*"
    identity: str = "*"
    name: str = "*"
    point: str | None = None
    status: str | None = None
    message: str = ""
    delay: float = 0.0
    drop: bool = False
    skip: int = 0
    count: int | None = None
    quota: int | None = None
    per: float = 60.0
    hits: int = 0
    seen: int = 0
    times: deque[float] = field(default_factory=deque)

    def fits(self, method: str, identity: str, name: str, point: str | None) -> bool:
        """Whether the rule is about this."""
        return (
            self.point == point
            and fnmatch.fnmatchcase(method, self.method)
            and fnmatch.fnmatchcase(identity, self.identity)
            and fnmatch.fnmatchcase(name, self.name)
        )

    def strikes(self, now: float) -> bool:
        """Count one more that it fits; whether it is hit."""
        self.seen += 1
        if self.seen <= self.skip:
            return False
        if self.quota is not None:
            while self.times and self.times[0] <= now - self.per:
                self.times.popleft()
            if len(self.times) < self.quota:
                self.times.append(now)
                return False
        if self.count is not None and self.hits >= self.count:
            return False
        self.hits += 1
        return True

    def json(self) -> dict[str, Any]:
        """What a test reads."""
        names = [name for name in self.__slots__ if name != "times"]
        return {name: getattr(self, name) for name in names}


class Faults:
    """The rules that hold now; they are gone with the process.

    Args:
        now: the emulator's clock.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now, self._lock = now, threading.Lock()
        self._rules: list[Fault] = []
        self._number = 0

    def add(self, said: Mapping[str, Any]) -> Fault:
        """A new rule.

        Raises:
            ApiError: it cannot be understood.
        """
        unknown = sorted(set(said) - FIELDS)
        if unknown:
            raise ApiError("INVALID_ARGUMENT", f"unknown fields {unknown}; a fault has {sorted(FIELDS)}")
        status = said.get("status")
        if status is not None and status not in STATUSES:
            raise ApiError("INVALID_ARGUMENT", f"unknown status {status!r}; there are {', '.join(STATUSES)}")
        with self._lock:
            self._number += 1
            rule = Fault(id=self._number, **said)
            if rule.quota is not None and rule.status is None:
                rule.status = "RESOURCE_EXHAUSTED"
            self._rules.append(rule)
        return rule

    def rules(self) -> list[Fault]:
        """All rules."""
        return list(self._rules)

    def clear(self, number: int | None = None) -> None:
        """Remove one rule, or all."""
        with self._lock:
            self._rules = [rule for rule in self._rules if number is not None and rule.id != number]

    def strike(self, method: str, identity: str, name: str = "") -> Fault | None:
        """The rule that hits a call, or None.

        Args:
            method: `Service.Method`.
            identity: who calls.
            name: the resource that it is about, where that is known.
        """
        return self._struck(method, identity, name, None)

    def at(self, point: str, name: str = "") -> Fault | None:
        """The rule that hits at a moment of an executor's, or None.

        Args:
            point: what the executor calls the moment, e.g. ``preempt``.
            name: the resource that it is about.
        """
        return self._struck("", "", name, point)

    def _struck(self, method: str, identity: str, name: str, point: str | None) -> Fault | None:
        if not self._rules:
            return None
        with self._lock:
            fitting = [rule for rule in self._rules if rule.fits(method, identity, name, point)]
            return next((rule for rule in fitting if rule.strikes(self._now())), None)


def error_of(rule: Fault) -> ApiError:
    """The answer that a rule gives."""
    assert rule.status is not None
    if rule.quota is not None:
        said = (
            rule.message or f"Quota exceeded: {rule.quota} requests per {rule.per:g} seconds ({rule.method})."
        )
        reason = {"reason": "RATE_LIMIT_EXCEEDED", "domain": "googleapis.com"}
        return ApiError(rule.status, said, {"@type": "type.googleapis.com/google.rpc.ErrorInfo", **reason})
    return ApiError(rule.status, rule.message or f"A fault was asked for: {rule.status}.")
