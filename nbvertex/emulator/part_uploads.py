"""Uploads in numbered parts, side by side, by the XML API, as clients send large files."""

from __future__ import annotations

import base64
import html
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from nbvertex.emulator import digests
from nbvertex.emulator.buckets import Buckets, check_name
from nbvertex.emulator.preconditions import StorageError
from nbvertex.emulator.store import Store
from nbvertex.emulator.web import BLOCK, Reply, Request

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
PARTS = range(1, 10_001)
META = "x-goog-meta-"


class PartUploads:
    """Uploads in parts that are under way; they go on after a restart.

    Args:
        buckets: where objects go.
        store: keeps what was said when an upload began.
    """

    def __init__(self, buckets: Buckets, store: Store) -> None:
        self._buckets, self._store = buckets, store

    def answer(self, request: Request, bucket: str, name: str) -> Reply | None:
        """The reply, or None where the request is not about such an upload.

        Raises:
            StorageError: there is no such upload, or its parts do not fit.
        """
        said = request.said
        if request.verb == "POST" and "uploads" in said:
            return self._begin(request, bucket, name)
        if "uploadId" not in said:
            return None
        upload = said["uploadId"]
        rows = self._store.rows("SELECT data FROM uploads WHERE id = ?", (upload,))
        begun = json.loads(rows[0][0]) if rows else {}
        if (begun.get("bucket"), begun.get("name")) != (bucket, name):
            raise StorageError(404, "notFound", "The requested upload was not found.")
        if request.verb == "PUT":
            return self._part(request, upload)
        if request.verb == "POST":
            return self._complete(request, upload, bucket, name, begun["fields"])
        self._end(upload)
        return Reply(204)

    def _begin(self, request: Request, bucket: str, name: str) -> Reply:
        self._buckets.bucket(bucket)
        check_name(name)
        heads = request.headers
        fields: dict[str, object] = {"contentType": heads.get("content-type", "application/octet-stream")}
        fields["metadata"] = {key[len(META) :]: value for key, value in heads.items() if key.startswith(META)}
        upload = secrets.token_urlsafe(24)
        begun = {"bucket": bucket, "name": name, "fields": fields}
        self._store.execute("INSERT INTO uploads VALUES (?, ?)", (upload, json.dumps(begun)))
        return _xml("InitiateMultipartUploadResult", Bucket=bucket, Key=name, UploadId=upload)

    def _part(self, request: Request, upload: str) -> Reply:
        number = request.said.get("partNumber", "")
        if not number.isdigit() or int(number) not in PARTS:
            raise StorageError(400, "invalid", f"Invalid part number: {number!r}")
        draft = self._buckets.drafts / secrets.token_hex(16)
        digesting = digests.Digesting()
        with draft.open("wb") as stream:
            while block := request.body.read(BLOCK):
                digesting.add(block)
                stream.write(block)
        made = digesting.made()
        sums = dict(
            part.strip().split("=", 1) for part in request.headers.get("x-goog-hash", "").split(",") if part
        )
        if sums.get("md5", made.md5) != made.md5 or sums.get("crc32c", made.crc32c) != made.crc32c:
            draft.unlink()
            raise StorageError(400, "invalid", "The checksum of the part does not match.")
        draft.replace(self._file(upload, int(number)))
        return Reply(
            200, b"", {"ETag": _etag(made.md5), "X-Goog-Hash": f"crc32c={made.crc32c},md5={made.md5}"}
        )

    def _complete(
        self, request: Request, upload: str, bucket: str, name: str, fields: Mapping[str, object]
    ) -> Reply:
        numbers = [
            int(number) for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", request.body.read())
        ]
        files = [self._file(upload, number) for number in numbers]
        if not files or numbers != sorted(set(numbers)) or not all(file.exists() for file in files):
            raise StorageError(
                400,
                "invalid",
                "One or more of the specified parts could not be found, or their order is wrong.",
            )
        draft = self._buckets.drafts / secrets.token_hex(16)
        digesting = digests.Digesting()
        with draft.open("wb") as stream:
            for file in files:
                with file.open("rb") as part:
                    while block := part.read(BLOCK):
                        digesting.add(block)
                        stream.write(block)
        made = self._buckets.keep(
            bucket, name, draft, digesting.made(), {**fields, "componentCount": len(files)}
        )
        self._end(upload)
        return _xml("CompleteMultipartUploadResult", Bucket=bucket, Key=name, ETag=made["etag"])

    def _file(self, upload: str, number: int) -> Path:
        return self._buckets.drafts / f"{upload}.{number}"

    def _end(self, upload: str) -> None:
        self._store.execute("DELETE FROM uploads WHERE id = ?", (upload,))
        for file in self._buckets.drafts.glob(f"{upload}.*"):
            file.unlink(missing_ok=True)


def _etag(md5: str) -> str:
    return f'"{base64.b64decode(md5).hex()}"'


def _xml(root: str, **said: str) -> Reply:
    inner = "".join(f"<{key}>{html.escape(value)}</{key}>" for key, value in said.items())
    text = f"<?xml version='1.0' encoding='UTF-8'?><{root} xmlns='{NAMESPACE}'>{inner}</{root}>"
    return Reply(200, text.encode(), {"Content-Type": "application/xml; charset=UTF-8"})
