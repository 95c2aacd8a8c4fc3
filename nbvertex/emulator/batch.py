"""Several calls in one request, as clients of Cloud Storage batch them."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable

from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.uploads import Data, parts_of
from nbvertex.emulator.web import Part, Reply, Request, error_reply


def answer(request: Request, serve: Callable[[Request], Reply]) -> Reply:
    """Answer each call on its own; one that fails hinders no other.

    Args:
        request: the whole.
        serve: answers one.

    Raises:
        ApiError: the whole cannot be read.
    """
    mark = f"batch_{secrets.token_hex(16)}"
    made = []
    for headers, data in parts_of(request.headers.get("content-type", ""), request.body.read()):
        try:
            reply = serve(_inner(request, data))
        except ApiError as error:
            reply = error_reply(error)
        ident = headers.get("content-id", "").replace("<", "<response-", 1)
        made.append(
            f"--{mark}\r\nContent-Type: application/http\r\nContent-ID: {ident}\r\n\r\n".encode()
            + _outer(reply)
        )
    body = b"\r\n".join([*made, f"--{mark}--\r\n".encode()])
    return Reply(200, body, {"Content-Type": f"multipart/mixed; boundary={mark}"})


def _inner(request: Request, data: bytes) -> Request:
    """One part as the request that it holds."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("utf-8", "replace").split("\r\n")
    verb, _, rest = first.partition(" ")
    path, _, query = rest.rpartition(" ")[0].partition("?")
    if not path:
        path, _, query = rest.partition("?")
    if "://" in path:
        path = "/" + path.split("/", 3)[3]
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    if "authorization" in request.headers:
        headers.setdefault("authorization", request.headers["authorization"])
    return dataclasses.replace(
        request, verb=verb, path=path, query=query, headers=headers, body=Data(body.rstrip(b"\r\n"))
    )


def _outer(reply: Reply) -> bytes:
    """A reply as a part of the whole."""
    body = b"".join(reply.body.blocks()) if isinstance(reply.body, Part) else reply.body
    lines = [
        f"HTTP/1.1 {reply.status} Answered",
        *(f"{name}: {value}" for name, value in reply.headers.items()),
    ]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
