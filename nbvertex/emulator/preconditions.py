"""What must hold of an object before something is done to it, and the errors of Cloud Storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbvertex.emulator.problem import ApiError


class StorageError(ApiError):
    """An error as Cloud Storage gives it, which has HTTP statuses and reasons of its own.

    Args:
        http: the HTTP status.
        reason: a short name, e.g. ``conditionNotMet``.
        message: what is wrong.
    """

    def __init__(self, http: int, reason: str, message: str) -> None:
        statuses = {404: "NOT_FOUND", 409: "ALREADY_EXISTS", 412: "FAILED_PRECONDITION", 416: "OUT_OF_RANGE"}
        super().__init__(statuses.get(http, "INVALID_ARGUMENT"), message)
        self._http, self._reason = http, reason

    @property
    def http(self) -> int:
        return self._http

    def json(self) -> dict[str, object]:
        one = {"message": self.message, "domain": "global", "reason": self._reason}
        return {"error": {"code": self._http, "message": self.message, "errors": [one]}}


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must hold of an object before something is done; None: anything."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None

    def check(self, found: Mapping[str, Any] | None, *, reading: bool = False) -> None:
        """Hold them against an object; an object that is not there has generation 0.

        Raises:
            StorageError: one does not hold: 412, and 304 for a read of what has not changed.
        """
        generation = int(found["generation"]) if found else 0
        metageneration = int(found["metageneration"]) if found else 0
        met = (self.generation in (None, generation)) and (self.metageneration in (None, metageneration))
        if not met or (found is None and self.metageneration is not None):
            raise StorageError(
                412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold."
            )
        changed = self.not_generation != generation and self.not_metageneration != metageneration
        if not changed:
            raise StorageError(
                304 if reading else 412,
                "conditionNotMet",
                "At least one of the pre-conditions you specified did not hold.",
            )


ANYHOW = Conditions()
"""Nothing need hold."""
