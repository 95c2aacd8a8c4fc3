"""Frames on a Unix socket: 4 bytes length, a JSON header, then the blobs whose lengths the header lists."""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from json import dumps, loads  # bound here: cells may replace them in their module
from typing import Any

Header = dict[str, Any]
Blob = bytes | bytearray | memoryview
_LENGTH = struct.Struct(">I")
_PIECE = 1 << 18


def pack(header: Header, blobs: Sequence[Blob] = ()) -> list[Blob]:
    """The pieces of one frame, to be written one after the other.

    Args:
        header: what JSON can hold; its key ``blobs`` belongs to the wire.
        blobs: bytes that follow the header as they are.

    Raises:
        TypeError, ValueError: the header holds what JSON cannot.
    """
    if blobs:
        header = {**header, "blobs": [memoryview(blob).nbytes for blob in blobs]}
    text = dumps(header, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    return [_LENGTH.pack(len(text)) + text, *blobs]


def send(sock: socket.socket, header: Header, blobs: Sequence[Blob] = (), fds: Sequence[int] = ()) -> None:
    """Write one frame to a blocking socket, file descriptors with its first byte; OSError where nobody reads."""
    pieces = pack(header, blobs)
    if fds:
        sent = socket.send_fds(sock, [pieces[0]], list(fds))
        pieces[0] = memoryview(pieces[0])[sent:]
    for piece in pieces:
        sock.sendall(piece)


def read(sock: socket.socket) -> tuple[Header, list[bytes]] | None:
    """Read one frame from a blocking socket; None where the other side has gone."""
    start = _exactly(sock, _LENGTH.size)
    text = _exactly(sock, _LENGTH.unpack(start)[0]) if start is not None else None
    if text is None:
        return None
    header: Header = loads(text)
    blobs: list[bytes] = []
    for size in header.get("blobs", ()):
        blob = _exactly(sock, size)
        if blob is None:
            return None
        blobs.append(blob)
    return header, blobs


def _exactly(sock: socket.socket, size: int) -> bytes | None:
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        got = sock.recv_into(view[done:])
        if not got:
            return None
        done += got
    return bytes(data)


class Decoder:
    """Cuts a byte stream that arrives in pieces into frames."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._header: Header | None = None
        self._sizes: deque[int] = deque()
        self._blobs: list[bytes] = []
        self._need = _LENGTH.size
        self._sized = False

    def feed(self, data: bytes) -> Iterator[tuple[Header, list[bytes]]]:
        """Take the next piece and give the frames that it completes."""
        self._data += data
        start = 0
        while len(self._data) - start >= self._need:
            part = bytes(memoryview(self._data)[start : start + self._need])
            start += self._need
            if self._take(part):
                header, blobs = self._header, self._blobs
                self._header, self._blobs, self._need, self._sized = None, [], _LENGTH.size, False
                assert header is not None
                yield header, blobs
        del self._data[:start]

    def _take(self, part: bytes) -> bool:
        """Use one complete part; True where it was the last of its frame."""
        if self._header is not None:
            self._blobs.append(part)
        elif not self._sized:
            self._need, self._sized = _LENGTH.unpack(part)[0], True
            return False
        else:
            header: Header = loads(part)
            self._header, self._sizes = header, deque(header.get("blobs", ()))
        if self._sizes:
            self._need = self._sizes.popleft()
            return False
        return True


def receive(sock: socket.socket, most_fds: int = 16) -> tuple[bytes, list[int]]:
    """Read what is there, with the file descriptors that came along; empty where the other side has gone."""
    data, fds, _, _ = socket.recv_fds(sock, _PIECE, most_fds, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
    return data, list(fds)
