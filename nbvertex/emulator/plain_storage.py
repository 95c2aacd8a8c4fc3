"""Cloud Storage's plain addresses, `https://storage.googleapis.com/BUCKET/OBJECT`: signed and public ones, and PUT."""

from __future__ import annotations

import html
from collections.abc import Callable
from urllib.parse import unquote

from nbvertex.emulator.buckets import Buckets
from nbvertex.emulator.downloads import download
from nbvertex.emulator.http_door import HERE
from nbvertex.emulator.part_uploads import PartUploads
from nbvertex.emulator.preconditions import Conditions, StorageError
from nbvertex.emulator.uploads import Uploads
from nbvertex.emulator.web import Reply, Request

HOST = "storage.googleapis.com"
METHODS = {
    "GET": "Storage.GetObject",
    "HEAD": "Storage.GetObject",
    "PUT": "Storage.InsertObject",
    "POST": "Storage.InsertObject",
    "DELETE": "Storage.DeleteObject",
}


class PlainStorage:
    """Objects at their plain addresses.

    Args:
        buckets: what they are in.
        uploads: how bytes come in.
        parts: uploads in parts.
    """

    def __init__(self, buckets: Buckets, uploads: Uploads, parts: PartUploads) -> None:
        self._buckets, self._uploads, self._parts = buckets, uploads, parts

    def find(self, request: Request) -> tuple[str, str, Callable[[str], Reply]] | None:
        """What a request means: method, what it is about, and what answers it; None where it is none of these."""
        inside = request.host.removesuffix(f".{HOST}") if request.host.endswith(f".{HOST}") else ""
        path = f"/{inside}{request.path}" if inside else request.path
        _, _, rest = path.partition("/")
        bucket, _, name = rest.partition("/")
        plain = (
            inside or request.host == HOST or (request.host in HERE and self._buckets.has(unquote(bucket)))
        )
        if not plain or request.verb not in METHODS or not name:
            return None
        bucket, name = unquote(bucket), unquote(name)
        return (
            METHODS[request.verb],
            f"gs://{bucket}/{name}",
            lambda identity: self._serve(request, bucket, name),
        )

    def _serve(self, request: Request, bucket: str, name: str) -> Reply:
        try:
            return self._parts.answer(request, bucket, name) or self._plainly(request, bucket, name)
        except StorageError as error:  # this address speaks XML
            code = {404: "NoSuchKey", 412: "PreconditionFailed"}.get(error.http, "InvalidArgument")
            inner = f"<Code>{code}</Code><Message>{html.escape(error.message)}</Message>"
            told = f"<?xml version='1.0' encoding='UTF-8'?><Error>{inner}</Error>"
            return Reply(error.http, told.encode(), {"Content-Type": "application/xml; charset=UTF-8"})

    def _plainly(self, request: Request, bucket: str, name: str) -> Reply:
        if request.verb == "PUT":
            said = {"uploadType": "media", "name": name}
            wanted = request.headers.get("x-goog-if-generation-match")
            return self._uploads.serve(request, bucket, said, Conditions(int(wanted) if wanted else None))
        if request.verb == "DELETE":
            self._buckets.delete(bucket, name)
            return Reply(204)
        if request.verb == "POST":
            raise StorageError(
                400, "invalid", "The emulator takes POST at plain addresses for uploads in parts only."
            )
        with self._buckets.alone():
            return download(self._buckets.get(bucket, name), request.headers)
