"""An object's bytes as a reply: whole, or the ranges that are asked for."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping

from nbvertex.emulator.buckets import Found
from nbvertex.emulator.web import Part, Reply

RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def download(found: Found, headers: Mapping[str, str]) -> Reply:
    """The bytes that a request asks for.

    Args:
        found: the object; nobody may replace it until this has returned.
        headers: of the request.
    """
    if found.data.get("contentEncoding") == "gzip" and "gzip" not in headers.get("accept-encoding", ""):
        return _unzipped(found)
    stream = found.path.open("rb")
    asked = RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
    span = _span(asked, found.size) if asked and (asked[1] or asked[2]) else None
    if span is None:
        return Reply(200, Part(stream, 0, found.size), _headers(found))
    start, end = span
    if start >= found.size or end < start:
        stream.close()
        said = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>InvalidRange</Code><Message>The requested range cannot be satisfied.</Message><Details>{headers['range']}</Details></Error>"
        return Reply(
            416, said.encode(), {"Content-Range": f"bytes */{found.size}", "Content-Type": "application/xml"}
        )
    more = {"Content-Range": f"bytes {start}-{end}/{found.size}"}
    return Reply(206, Part(stream, start, end - start + 1), {**_headers(found), **more})


def _unzipped(found: Found) -> Reply:
    """The whole object without its encoding, for a client that does not know it; ranges of it are not served."""
    kept = _headers(found)
    for name in ("Content-Encoding", "X-Goog-Hash"):
        del kept[name]
    return Reply(
        200, gzip.decompress(found.path.read_bytes()), {**kept, "Warning": "214 UploadServer gunzipped"}
    )


def _span(asked: re.Match[str], size: int) -> tuple[int, int]:
    if not asked[1]:  # the last bytes
        return (max(0, size - int(asked[2])), size - 1) if int(asked[2]) else (size, size)
    return int(asked[1]), min(int(asked[2]), size - 1) if asked[2] else size - 1


def _headers(found: Found) -> dict[str, str]:
    data = found.data
    sums = [f"crc32c={data['crc32c']}"] + ([f"md5={data['md5Hash']}"] if "md5Hash" in data else [])
    headers = {
        "Content-Type": data["contentType"],
        "Accept-Ranges": "bytes",
        "ETag": data["etag"],
        "X-Goog-Hash": ",".join(sums),
        "X-Goog-Generation": data["generation"],
        "X-Goog-Metageneration": data["metageneration"],
        "X-Goog-Storage-Class": data["storageClass"],
        "X-Goog-Stored-Content-Length": data["size"],
        "X-Goog-Stored-Content-Encoding": data.get("contentEncoding", "identity"),
    }
    for field, name in (("contentEncoding", "Content-Encoding"), ("contentDisposition", "Content-Disposition"),
                        ("cacheControl", "Cache-Control"), ("contentLanguage", "Content-Language")):  # fmt: skip
        if field in data:
            headers[name] = data[field]
    return headers
