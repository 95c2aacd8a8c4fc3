"""An error as Google's services give it: a status, a message, details."""

from __future__ import annotations

from collections.abc import Mapping

STATUSES: dict[str, tuple[int, int]] = {
    "OK": (0, 200),
    "CANCELLED": (1, 499),
    "UNKNOWN": (2, 500),
    "INVALID_ARGUMENT": (3, 400),
    "DEADLINE_EXCEEDED": (4, 504),
    "NOT_FOUND": (5, 404),
    "ALREADY_EXISTS": (6, 409),
    "PERMISSION_DENIED": (7, 403),
    "RESOURCE_EXHAUSTED": (8, 429),
    "FAILED_PRECONDITION": (9, 400),
    "ABORTED": (10, 409),
    "OUT_OF_RANGE": (11, 400),
    "UNIMPLEMENTED": (12, 501),
    "INTERNAL": (13, 500),
    "UNAVAILABLE": (14, 503),
    "DATA_LOSS": (15, 500),
    "UNAUTHENTICATED": (16, 401),
}
"""Each status of google.rpc.Code: its number and the HTTP status that goes with it."""


class ApiError(Exception):
    """What a call is answered with where it cannot be done.

    Args:
        status: a name of google.rpc.Code.
        message: what Google's service says.
        details: messages of google.rpc, as JSON with ``@type``.
    """

    def __init__(self, status: str, message: str, *details: Mapping[str, object]) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.details = details

    @property
    def number(self) -> int:
        return STATUSES[self.status][0]

    @property
    def http(self) -> int:
        return STATUSES[self.status][1]

    def json(self) -> dict[str, object]:
        """The body of an HTTP reply."""
        said: dict[str, object] = {"code": self.http, "message": self.message, "status": self.status}
        if self.details:
            said["details"] = [dict(detail) for detail in self.details]
        return {"error": said}


class Dropped(Exception):
    """The call was served, and the connection breaks before its reply (a fault on demand)."""
