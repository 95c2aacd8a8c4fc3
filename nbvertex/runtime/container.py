"""The bytes of an artifact: a head that says what is inside, then the stream, then arrays that can be mapped."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json import dumps, loads  # bound here: cells may replace them in their module
from typing import Any

MAGIC = b"NBVART1\n"
ALIGN = 64  # where arrays begin, so that vector instructions and mapping work
SMALL = 1 << 16  # artifacts up to this size travel inside the frame
_BLOCK = 1 << 22


class Corrupt(Exception):
    """An artifact's bytes are not what its address says."""


@dataclass(frozen=True)
class Opened:
    """An artifact that has been read.

    Args:
        kind: ``json``, ``array`` or ``pickle``.
        entries: the entry ids, in the order of the stream.
        stream: the JSON or the pickle.
        buffers: writable memory of the arrays; changes stay in this process.
        mapping: the memory map behind the buffers, if any.
    """

    kind: str
    entries: tuple[str, ...]
    stream: memoryview
    buffers: tuple[memoryview, ...]
    mapping: mmap.mmap | None


def pieces(
    kind: str, entries: Sequence[str], stream: bytes, buffers: Sequence[memoryview]
) -> Iterator[bytes | memoryview]:
    """The artifact's bytes, piece by piece; big arrays are not copied."""
    head = dumps(
        {
            "kind": kind,
            "entries": list(entries),
            "stream": len(stream),
            "buffers": [b.nbytes for b in buffers],
        },
        separators=(",", ":"),
    ).encode()
    start = MAGIC + struct.pack("<I", len(head)) + head
    yield start
    yield stream
    at = len(start) + len(stream)
    for buffer in buffers:
        yield bytes(-at % ALIGN)
        yield buffer
        at += -at % ALIGN + buffer.nbytes


def write(path: str, parts: Iterator[bytes | memoryview]) -> tuple[str, int]:
    """Write the pieces to a new file, durably; its SHA-256 and size."""
    digest, size = hashlib.sha256(), 0
    with open(path, "xb", buffering=0) as file:
        for part in parts:
            view = memoryview(part).cast("B")
            for at in range(0, len(view), _BLOCK):
                block = view[at : at + _BLOCK]
                digest.update(block)
                written = 0
                while written < len(block):
                    written += file.write(block[written:])
            size += len(view)
        os.fsync(file.fileno())
    return digest.hexdigest(), size


def read_file(path: str, digest: str) -> Opened:
    """Map a stored artifact copy-on-write, after its bytes were checked against its address."""
    with open(path, "rb", buffering=0) as file:
        if _digest_of(file) != digest:
            raise Corrupt(f"artifact {digest} is damaged")
        mapping = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return _parse(memoryview(mapping), mapping)


def _digest_of(file: Any) -> str:
    digest, block = hashlib.sha256(), bytearray(_BLOCK)
    view = memoryview(block)
    while count := file.readinto(block):
        digest.update(view[:count])
    return digest.hexdigest()


def read_bytes(data: bytes, digest: str) -> Opened:
    """Read an artifact that came inside a frame."""
    if hashlib.sha256(data).hexdigest() != digest:
        raise Corrupt(f"artifact {digest} is damaged")
    return _parse(memoryview(bytearray(data)), None)


def _parse(data: memoryview, mapping: mmap.mmap | None) -> Opened:
    if bytes(data[: len(MAGIC)]) != MAGIC:
        raise Corrupt("not an artifact of a kind that is known here")
    (length,) = struct.unpack_from("<I", data, len(MAGIC))
    at = len(MAGIC) + 4 + length
    head = loads(bytes(data[len(MAGIC) + 4 : at]))
    stream = data[at : at + head["stream"]]
    at += head["stream"]
    buffers = []
    for size in head["buffers"]:
        at += -at % ALIGN
        buffers.append(data[at : at + size])
        at += size
    return Opened(head["kind"], tuple(head["entries"]), stream, tuple(buffers), mapping)


Place = tuple[int, int] | str


def place(buffer: Any, mapping: mmap.mmap | None) -> Place:
    """What tells whether a `pickle.PickleBuffer` has changed.

    In an artifact's map it is where the buffer lies, and its size (`is_untouched` tells the rest); elsewhere the digest.
    """
    raw = buffer.raw()
    if mapping is not None and not raw.readonly and raw.nbytes:
        at, start = _address(raw), _address(mapping)
        if start <= at and at + raw.nbytes <= start + len(mapping):
            return at, raw.nbytes
    return hashlib.sha256(raw).hexdigest()


def _address(memory: Any) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def is_untouched(mapping: mmap.mmap) -> bool:
    """Has no page of a copy-on-write map been written to? False where the system cannot tell."""
    wanted = f"{_address(mapping):x}-"
    try:
        with open("/proc/self/smaps", encoding="utf-8", errors="replace") as lines:
            inside = False
            for line in lines:
                if inside and line.startswith("Anonymous:"):
                    return line.split()[1] == "0"
                if line.startswith(wanted):
                    inside = True
    except OSError:
        return False
    return False
