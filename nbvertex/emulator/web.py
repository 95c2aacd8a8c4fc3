"""A request and a reply over HTTP, apart from the sockets they come by."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol
from urllib.parse import parse_qsl

from nbvertex.emulator.problem import ApiError

BLOCK = 1 << 20


class Readable(Protocol):
    """What gives bytes."""

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks.

    Args:
        verb: the HTTP method.
        host: the name it was sent to, in lower case, without the port.
        path: as it came, percent signs and all.
        query: the text behind the question mark.
        headers: by their name in lower case.
        body: read once.
        door: who calls where no token says it.
        address: under which the client reaches us, e.g. ``https://storage.googleapis.com``.
    """

    verb: str
    host: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Readable
    door: str
    address: str

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The fields of the query in their order."""
        return parse_qsl(self.query, keep_blank_values=True)

    @property
    def said(self) -> dict[str, str]:
        """The fields of the query, the last one of each name."""
        return dict(self.fields)

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one is an empty object.

        Raises:
            ApiError: it is none.
        """
        data = self.body.read()
        try:
            made = json.loads(data) if data.strip() else {}
        except ValueError as error:
            raise ApiError("INVALID_ARGUMENT", f"Invalid JSON payload received. {error}") from None
        if not isinstance(made, dict):
            raise ApiError(
                "INVALID_ARGUMENT", "Invalid JSON payload received. Root element must be a message."
            )
        return made


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a file, which stays what it was when the reply was made.

    Args:
        stream: the file, open.
        start: its first byte.
        size: how many bytes.
    """

    stream: BinaryIO
    start: int
    size: int

    def blocks(self) -> Iterator[bytes]:
        """Its bytes, a block at a time; closes the file."""
        with self.stream as stream:
            stream.seek(self.start)
            left = self.size
            while left > 0 and (block := stream.read(min(BLOCK, left))):
                left -= len(block)
                yield block


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client is answered.

    Args:
        status: the HTTP status.
        body: bytes, or a stretch of a file.
        headers: besides the length.
        held: keep the connection until the client hangs up, then call this.
    """

    status: int = 200
    body: bytes | Part = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    held: Callable[[], None] | None = None

    @property
    def size(self) -> int:
        return self.body.size if isinstance(self.body, Part) else len(self.body)


def json_reply(said: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """JSON as a reply."""
    head = {"Content-Type": "application/json; charset=UTF-8", **(headers or {})}
    return Reply(status, json.dumps(said).encode(), head)


def error_reply(error: ApiError) -> Reply:
    """An error as Google's services reply it."""
    headers = (
        {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'} if error.http == 401 else None
    )
    return json_reply(error.json(), error.http, headers)
