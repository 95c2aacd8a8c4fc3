"""Whether two outputs or two files say the same: what differs from run to run by nature is set aside."""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nbvertex import masks
from nbvertex.sides import Output

PNG = b"\x89PNG\r\n\x1a\n"
PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"fcTL", b"fdAT"})  # the parts of a PNG that say what it shows
DATES = re.compile(rb"/(CreationDate|ModDate) ?\(D:[^)]*\)|/ID ?\[[^\]]*\]")
MARKUP = frozenset({"text/html", "image/svg+xml", "application/javascript", "text/javascript"})
WIDGETS = frozenset({"application/vnd.jupyter.widget-view+json"})


def shown(outputs: Iterable[Output]) -> list[tuple[str, Any]]:
    """What a cell showed in a form that is equal where a reader sees no difference.

    Args:
        outputs: as nbformat has them.

    Returns:
        (kind, content): the texts of the streams between two displays as one each, stdout before stderr;
        mime type -> content for what was displayed; name and message of errors.
    """
    found: list[tuple[str, Any]] = []
    streams: dict[str, str] = {}
    for output in outputs:
        if output["output_type"] == "stream":
            streams[output["name"]] = streams.get(output["name"], "") + _text(output["text"])
            continue
        found += _texts(streams)
        streams = {}
        if output["output_type"] == "error":
            found.append(("error", (output["ename"], masks.text(str(output["evalue"])))))
        else:
            data = {mime: _mime(mime, content) for mime, content in sorted(output["data"].items())}
            found.append((output["output_type"], data))
    return found + list(_texts(streams))


def _texts(streams: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for name in ("stdout", "stderr"):
        text = masks.stream(streams.get(name, ""))
        if text:
            yield name, text


def _text(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value)


def _mime(mime: str, content: Any) -> Any:
    if mime in WIDGETS:
        return mime
    if mime.endswith("json"):
        value = json.loads(content) if isinstance(content, str) else content
        return masks.markup(json.dumps(value, sort_keys=True))
    if mime in MARKUP:
        return masks.markup(_text(content))
    if mime.startswith("text/"):
        return masks.text(_text(content))
    try:
        return picture(base64.b64decode(_text(content)))
    except binascii.Error:
        return _text(content)


def picture(data: bytes) -> str:
    """A digest of what a picture shows: for a PNG its pixels, for all others the bytes."""
    if data.startswith(PNG):
        try:
            data = _pixels(data)
        except (ValueError, zlib.error):
            pass  # it is broken, and compared as it is
    return f"picture {hashlib.sha256(data).hexdigest()[:16]}"


def _pixels(data: bytes) -> bytes:
    kept, packed, place = [], b"", len(PNG)
    while place + 8 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        body = data[place + 8 : place + 8 + length]
        packed += body if kind == b"IDAT" else b""
        kept += [kind, body] if kind in PIXELS else []
        place += length + 12
    return b"".join(kept) + zlib.decompress(packed)


def same_file(name: str, ours: bytes, theirs: bytes) -> bool:
    """Whether two files say the same: times that archives and pictures hold, addresses and the like do not count."""
    if ours == theirs:
        return True
    for told in (_as_picture, _as_document, _as_archive, _as_packed, _as_pickle, _as_text):
        one = told(name, ours)
        if one is not None and one == told(name, theirs):
            return True
    return False


def _as_picture(name: str, data: bytes) -> str | None:
    return picture(data) if data.startswith(PNG) else None


def _as_document(name: str, data: bytes) -> bytes | None:
    """A PDF without when it was made and the number that this gives it."""
    return DATES.sub(b"", data) if data.startswith(b"%PDF") else None


def _as_archive(name: str, data: bytes) -> dict[str, bytes] | None:
    """The members of a ZIP file (and so of .npz, .xlsx, .keras), without their times."""
    if not data.startswith(b"PK"):
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {
                member: masks.markup(_decoded(archive.read(member))).encode()
                if member.endswith((".xml", ".json"))
                else archive.read(member)
                for member in sorted(archive.namelist())
                if member != "docProps/core.xml"  # who wrote it, and when
            }
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return None


def _as_packed(name: str, data: bytes) -> bytes | None:
    if not data.startswith(b"\x1f\x8b"):
        return None
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return None


def _as_pickle(name: str, data: bytes) -> object | None:
    from nbvertex import pickles

    return pickles.shape(data)


def _as_text(name: str, data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return masks.markup(text) if name.endswith((".svg", ".html", ".ipynb")) else masks.text(text)


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace")
