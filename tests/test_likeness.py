"""Outputs and files are alike where a reader sees no difference."""

from __future__ import annotations

import base64
import gzip
import io
import pickle
import struct
import zipfile
import zlib
from typing import Any

import pytest

from nbvertex import likeness


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def display(**data: Any) -> dict[str, Any]:
    named = {mime.replace("_", "/"): content for mime, content in data.items()}
    return {"output_type": "display_data", "data": named, "metadata": {}}


def png(pixels: bytes, *, note: bytes = b"", level: int = 6) -> bytes:
    """A small picture, one row of grey pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", len(pixels), 1, 8, 0, 0, 0, 0)
    notes = chunk(b"tEXt", note) if note else b""
    return (
        likeness.PNG
        + chunk(b"IHDR", head)
        + notes
        + chunk(b"IDAT", zlib.compress(b"\0" + pixels, level))
        + chunk(b"IEND", b"")
    )


def archive(date: int, content: str = "x") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        written.writestr(zipfile.ZipInfo("a.txt", (date, 1, 1, 0, 0, 0)), content)
    return file.getvalue()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


SAME: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "pieces of a stream": ([stream("a\n"), stream("b\n")], [stream("a\nb\n")]),
    "a text as lines": ([{**stream(""), "text": ["a\n", "b\n"]}], [stream("a\nb\n")]),
    "two streams mixed": ([stream("a\n"), stream("e\n", "stderr"), stream("b\n")],
                          [stream("e\n", "stderr"), stream("a\nb\n")]),
    "pictures with other notes": ([display(image_png=encoded(png(b"\1\2", note=b"Software\0one")))],
                                  [display(image_png=encoded(png(b"\1\2", note=b"Date\0two", level=1)))]),
    "a widget": ([display(**{"application/vnd.jupyter.widget-view+json": {"model_id": "a"}})],
                 [display(**{"application/vnd.jupyter.widget-view+json": {"model_id": "b"}})]),
    "JSON in another order": ([display(application_json={"a": 1, "b": 2})], [display(application_json={"b": 2, "a": 1})]),
    "an address": ([display(**{"text/plain": "<C at 0x7f2e3c4d5e60>"})], [display(**{"text/plain": "<C at 0x7f2e3c4d5e68>"})]),
    "an empty stream": ([stream("")], []),
}  # fmt: skip

OTHER: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "text": ([stream("1\n")], [stream("2\n")]),
    "the stream": ([stream("1\n")], [stream("1\n", "stderr")]),
    "the order of text and display": ([stream("a\n"), display(**{"text/plain": "x"})],
                                      [display(**{"text/plain": "x"}), stream("a\n")]),
    "pixels": ([display(image_png=encoded(png(b"\1\2")))], [display(image_png=encoded(png(b"\1\3")))]),
    "size": ([display(image_png=encoded(png(b"\1\2")))], [display(image_png=encoded(png(b"\1\2\2")))]),
    "a form": ([display(**{"text/plain": "x", "text/html": "<b>"})], [display(**{"text/plain": "x"})]),
    "a result or a display": ([{**display(**{"text/plain": "x"}), "output_type": "execute_result"}],
                              [display(**{"text/plain": "x"})]),
    "an error": ([{"output_type": "error", "ename": "E", "evalue": "1", "traceback": []}],
                 [{"output_type": "error", "ename": "E", "evalue": "2", "traceback": []}]),
    "nothing": ([stream("a")], []),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_what_reads_the_same_is_alike(case: str) -> None:
    """How a front end cut or packed it does not count."""
    one, two = SAME[case]
    assert likeness.shown(one) == likeness.shown(two)


@pytest.mark.parametrize("case", OTHER)
def test_what_reads_differently_is_not(case: str) -> None:
    """Each of these a reader would notice."""
    one, two = OTHER[case]
    assert likeness.shown(one) != likeness.shown(two)


FILES: dict[str, tuple[str, bytes, bytes, bool]] = {
    "bytes": ("a.bin", b"\0\1", b"\0\1", True),
    "other bytes": ("a.bin", b"\0\1", b"\0\2", False),
    "text with an address": ("a.txt", b"<C at 0x7f2e3c4d5e60>", b"<C at 0x7f2e3c4d5e68>", True),
    "text": ("a.txt", b"a", b"b", False),
    "archives of other times": ("a.npz", archive(1990), archive(2000), True),
    "archives of other contents": ("a.npz", archive(1990, "x"), archive(1990, "y"), False),
    "packed at other times": ("a.gz", gzip.compress(b"x", mtime=1), gzip.compress(b"x", mtime=2), True),
    "packed, other contents": ("a.gz", gzip.compress(b"x", mtime=1), gzip.compress(b"y", mtime=1), False),
    "pictures": ("a.png", png(b"\1", note=b"a\0b"), png(b"\1"), True),
    "other pictures": ("a.png", png(b"\1"), png(b"\2"), False),
    "a document": (
        "a.pdf",
        b"%PDF-1\n/CreationDate (D:2024)\xff",
        b"%PDF-1\n/CreationDate (D:2025)\xff",
        True,
    ),
    "another document": ("a.pdf", b"%PDF-1\nx\xff", b"%PDF-1\ny\xff", False),
    "pickles": ("a.pkl", pickle.dumps(["ab", "ab"]), pickle.dumps(["ab", "xab"[1:]]), True),
    "other pickles": ("a.pkl", pickle.dumps(["ab"]), pickle.dumps(["ac"]), False),
    "a broken archive": ("a.zip", b"PK\3\4x", b"PK\3\4y", False),
    "a broken picture": ("a.png", likeness.PNG + b"x", likeness.PNG + b"y", False),
}


@pytest.mark.parametrize("case", FILES)
def test_files_are_alike_where_they_say_the_same(case: str) -> None:
    """Times that a format keeps, and how often a pickle stores a text, do not count."""
    name, one, two, alike = FILES[case]
    assert likeness.same_file(name, one, two) is alike
