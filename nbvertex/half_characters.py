"""Halves of characters (lone surrogates), which file names and texts may hold and UTF-8 does not: kept all the same."""

from __future__ import annotations

import json
from typing import Any

import msgspec

_FIRST, _LAST = 0xD800, 0xDFFF
_PRIVATE = 0x100000  # where they are put: the last plane of Unicode, which is nobody's
_TO = {code: code - _FIRST + _PRIVATE for code in range(_FIRST, _LAST + 1)}
_BACK = {put: code for code, put in _TO.items()}
_SIGN = "\U00100000".encode()[:2]  # how those begin in UTF-8


def whole(text: str) -> str:
    """The text without halves, so that it can be kept as UTF-8; `halved` gives it back."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.translate(_TO)
    return text


def halved(text: str) -> str:
    """What `whole` was given."""
    return text if text.isascii() else text.translate(_BACK)


def read(data: bytes) -> str:
    """A text that was kept."""
    return data.decode().translate(_BACK) if _SIGN in data else data.decode()


def shown(text: str) -> str:
    """The text for people: a file name in another encoding has marks where it cannot be read."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape" if _of_bytes(text) else "replace").decode(
        "utf-8", "replace"
    )


def _of_bytes(text: str) -> bool:
    return all(not _FIRST <= ord(c) <= _LAST or 0xDC80 <= ord(c) <= 0xDCFF for c in text)


def as_json(value: Any, *, indent: int = 0) -> bytes:
    """A value as JSON, whatever its texts hold."""
    try:
        data = msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), indent=indent or None).encode()
    return msgspec.json.format(data, indent=indent) if indent else data
