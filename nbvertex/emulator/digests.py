"""The two checksums that Cloud Storage keeps of an object."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nbvertex.emulator.web import BLOCK

POLYNOMIAL = 0x82F63B78


@cache
def _table() -> tuple[int, ...]:
    def entry(value: int) -> int:
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        return value

    return tuple(entry(value) for value in range(256))


@cache
def _quick() -> Any:
    try:
        from google_crc32c import extend  # comes with google-cloud-storage
    except ImportError:
        return None
    return extend


def crc32c(data: bytes, before: int = 0) -> int:
    """The checksum of bytes, after those whose checksum is `before`."""
    quick = _quick()
    if quick is not None:
        return int(quick(before, data))
    value, table = before ^ 0xFFFFFFFF, _table()
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Digests:
    """Checksums as Cloud Storage writes them, and how many bytes they are of."""

    crc32c: str
    md5: str
    size: int


class Digesting:
    """Takes in bytes and gives their checksums."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc32c, self._size = 0, 0

    def add(self, block: bytes) -> None:
        """Take in some more."""
        self._md5.update(block)
        self._crc32c = crc32c(block, self._crc32c)
        self._size += len(block)

    def made(self) -> Digests:
        """The checksums of all so far."""
        crc = base64.b64encode(self._crc32c.to_bytes(4, "big")).decode()
        return Digests(crc, base64.b64encode(self._md5.digest()).decode(), self._size)


def of(blocks: Iterable[bytes]) -> Digests:
    """The checksums of bytes that come in blocks."""
    digesting = Digesting()
    for block in blocks:
        digesting.add(block)
    return digesting.made()


def of_file(path: Path) -> Digests:
    """The checksums of a file."""
    with path.open("rb") as stream:
        return of(iter(lambda: stream.read(BLOCK), b""))
