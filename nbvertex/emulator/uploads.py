"""How bytes come in: at once, in one message with what is said of them, or resumed piece by piece."""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nbvertex.emulator import digests
from nbvertex.emulator.buckets import Buckets, check_name
from nbvertex.emulator.preconditions import Conditions, StorageError
from nbvertex.emulator.store import Store
from nbvertex.emulator.web import BLOCK, Readable, Reply, Request, json_reply

SPAN = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class Uploads:
    """Uploads under way; a resumable one goes on after a restart.

    Args:
        buckets: where objects go.
        store: keeps what was said when an upload began.
    """

    def __init__(self, buckets: Buckets, store: Store) -> None:
        self._buckets, self._store = buckets, store

    def draft(self) -> Path:
        """A new file for bytes that are no object's yet."""
        return self._buckets.drafts / secrets.token_hex(16)

    def serve(self, request: Request, bucket: str, said: Mapping[str, str], conditions: Conditions) -> Reply:
        """Answer an upload, or a piece of one.

        Raises:
            StorageError: it cannot be kept.
        """
        kind = said.get("uploadType", "")
        if said.get("upload_id"):
            return self._piece(request, said["upload_id"])
        self._buckets.bucket(bucket)
        if kind == "media":
            fields = {"contentType": request.headers.get("content-type", "application/octet-stream")}
            if said.get("contentEncoding"):
                fields["contentEncoding"] = said["contentEncoding"]
            return self._keep(request, bucket, said.get("name", ""), request.body, fields, conditions)
        if kind == "multipart":
            fields, data = halves(request.headers.get("content-type", ""), request.body.read())
            name = fields.get("name") or said.get("name", "")
            return self._keep(request, bucket, name, Data(data), fields, conditions)
        if kind == "resumable":
            return self._begin(request, bucket, said, conditions)
        raise StorageError(400, "invalid", f"Unknown uploadType: '{kind}'")

    def cancel(self, upload: str) -> None:
        """Give an upload up."""
        self._begun(upload)
        self._end(upload)

    def _keep(
        self, request: Request, bucket: str, name: str, body: Readable, fields: Mapping[str, Any],
        conditions: Conditions,
    ) -> Reply:  # fmt: skip
        check_name(name)
        draft = self.draft()
        try:
            with draft.open("wb") as stream:
                digesting = digests.Digesting()
                while block := body.read(BLOCK):
                    digesting.add(block)
                    stream.write(block)
            made = self._buckets.keep(
                bucket, name, draft, digesting.made(), {**fields, **_sums(request)}, conditions
            )
        finally:
            draft.unlink(missing_ok=True)
        return _object(made, request)

    def _begin(self, request: Request, bucket: str, said: Mapping[str, str], conditions: Conditions) -> Reply:
        fields = request.json()
        name = fields.get("name") or said.get("name", "")
        check_name(name)
        found = self._buckets.find(bucket, name)
        conditions.check(found.data if found else None)
        kind = request.headers.get("x-upload-content-type")
        if kind and "contentType" not in fields:
            fields["contentType"] = kind
        upload = secrets.token_urlsafe(24)
        begun = {
            "bucket": bucket,
            "name": name,
            "fields": fields,
            "conditions": dataclasses.asdict(conditions),
        }
        (self._buckets.drafts / upload).touch()
        self._store.execute("INSERT INTO uploads VALUES (?, ?)", (upload, json.dumps(begun)))
        where = f"{request.address}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&name={quote(name, safe='')}&upload_id={upload}"
        return Reply(200, b"", {"Location": where, "X-GUploader-UploadID": upload})

    def _piece(self, request: Request, upload: str) -> Reply:
        begun = self._begun(upload)
        draft = self._buckets.drafts / upload
        if "object" in begun:  # it has ended; its last reply was lost
            return _object(begun["object"], request)
        size = draft.stat().st_size
        span = SPAN.fullmatch(request.headers.get("content-range", ""))
        total = int(span[3]) if span and span[3] != "*" else None
        if span is None or span[1] is not None:
            size, total = self._append(request, draft, size, span, total)
        if total is None or size < total:
            return Reply(308, b"", {"Range": f"bytes=0-{size - 1}"} if size else {})
        digest = digests.of_file(draft)
        made = self._buckets.keep(
            begun["bucket"], begun["name"], draft, digest, {**begun["fields"], **_sums(request)},
            Conditions(**begun["conditions"]),
        )  # fmt: skip
        ended = json.dumps({"object": made})
        self._store.execute("UPDATE uploads SET data = ? WHERE id = ?", (ended, upload))
        return _object(made, request)

    def _append(
        self, request: Request, draft: Path, size: int, span: re.Match[str] | None, total: int | None
    ) -> tuple[int, int | None]:
        """Add a piece; gives how many bytes there are now, and how many there will be."""
        start = int(span[1]) if span else 0
        if start > size:
            raise StorageError(
                503, "backendError", f"The upload has {size} bytes; a piece at {start} cannot follow."
            )
        with draft.open("r+b") as stream:
            stream.seek(start)  # bytes that came already are sent again after a broken connection
            while block := request.body.read(BLOCK):
                stream.write(block)
            stream.truncate()
            size = stream.tell()
        return size, size if span is None else total

    def _begun(self, upload: str) -> dict[str, Any]:
        rows = self._store.rows("SELECT data FROM uploads WHERE id = ?", (upload,))
        if not rows:
            raise StorageError(404, "notFound", "Invalid upload_id: there is no such upload.")
        begun: dict[str, Any] = json.loads(rows[0][0])
        return begun

    def _end(self, upload: str) -> None:
        self._store.execute("DELETE FROM uploads WHERE id = ?", (upload,))
        (self._buckets.drafts / upload).unlink(missing_ok=True)


class Data:
    """Bytes that are here already, to be read like those that come by a connection."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def read(self, size: int = -1, /) -> bytes:
        """As many bytes, or all that are left."""
        end = len(self._data) if size < 0 else self._at + size
        block = self._data[self._at : end]
        self._at += len(block)
        return block


def parts_of(kind: str, data: bytes) -> list[tuple[dict[str, str], bytes]]:
    """A multipart body as its parts: headers by their names in lower case, and bytes.

    Raises:
        StorageError: it is none.
    """
    found = re.search(r'boundary=(?:"([^"]+)"|\'([^\']+)\'|([^;\s]+))', kind)
    if found is None:
        raise StorageError(400, "badContent", "Multipart body without a boundary.")
    mark = b"--" + (found[1] or found[2] or found[3]).encode()
    made = []
    first, _, _ = data.partition(b"\n")
    end = b"\r\n" if first.endswith(b"\r") else b"\n"  # gcsfs writes single ones
    for part in (end + data).split(end + mark)[1:]:
        if part.startswith(b"--"):
            break
        head, _, body = part.removeprefix(end).partition(end * 2)
        lines = [line.partition(":") for line in head.decode("utf-8", "replace").splitlines()]
        made.append(({name.strip().lower(): value.strip() for name, _, value in lines}, body))
    return made


def halves(kind: str, data: bytes) -> tuple[dict[str, Any], bytes]:
    """What an upload in one message says of its object, and the bytes.

    Raises:
        StorageError: it has not two parts, or the first is no JSON.
    """
    parts = parts_of(kind, data)
    if len(parts) != 2:
        raise StorageError(
            400, "badContent", f"Expected two content parts in the multipart body, but received {len(parts)}."
        )
    try:
        fields = json.loads(parts[0][1] or b"{}")
    except ValueError:
        raise StorageError(400, "parseError", "Metadata part is not valid JSON.") from None
    return {"contentType": parts[1][0].get("content-type"), **fields}, parts[1][1]


def _sums(request: Request) -> dict[str, str]:
    """Checksums that a client sends as headers."""
    names = {"crc32c": "crc32c", "md5": "md5Hash"}
    said = [
        part.strip().partition("=")
        for part in request.headers.get("x-goog-hash", "").split(",")
        if part.strip()
    ]
    return {names[name]: value for name, _, value in said if name in names}


def _object(made: Mapping[str, Any], request: Request) -> Reply:
    from nbvertex.emulator.storage_api import linked

    return json_reply(
        linked(made, request), headers={"ETag": made["etag"], "X-Goog-Hash": f"crc32c={made['crc32c']}"}
    )
