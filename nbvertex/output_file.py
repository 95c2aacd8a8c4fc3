"""The file of an output notebook: whether it may be there, and writing it whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from nbvertex.errors import StoreError, UsageError

JSON_TYPE = re.compile(r"application/(.+\+)?json")
NOTEBOOKS = ("", ".ipynb", ".json")


def encode(notebook: Mapping[str, Any]) -> bytes:
    """The notebook as the bytes of a file, laid out as Jupyter does (one space, sorted keys, one line a line)."""
    shaped = {**notebook, "cells": [_lines(cell) for cell in notebook["cells"]]}
    try:
        data = msgspec.json.format(msgspec.json.encode(shaped, order="sorted"), indent=1)
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can write
        data = json.dumps(shaped, indent=1, sort_keys=True).encode()
    return data + b"\n"


def _lines(cell: Mapping[str, Any]) -> dict[str, Any]:
    shaped = {**cell, "source": _split(cell.get("source", ""))}
    if "outputs" in cell:
        shaped["outputs"] = [_output_lines(output) for output in cell["outputs"]]
    return shaped


def _output_lines(output: Mapping[str, Any]) -> dict[str, Any]:
    shaped = dict(output)
    if "text" in output:
        shaped["text"] = _split(output["text"])
    if "data" in output:
        data = output["data"].items()
        shaped["data"] = {mime: value if JSON_TYPE.fullmatch(mime) else _split(value) for mime, value in data}
    return shaped


def _split(text: Any) -> Any:
    return text.splitlines(keepends=True) if isinstance(text, str) else text


def check_place(out: Path, notebook: Path, *, overwrite: bool) -> None:
    """See to it that the output notebook can be written, before anything runs.

    Raises:
        UsageError: it cannot be written there, or would replace the notebook that is read.
    """
    if out.suffix not in NOTEBOOKS:
        raise UsageError(f"{out} is no name for a notebook", hint=f"call it {out.with_suffix('.ipynb').name}")
    if "://" in str(out) or ":/" in str(out):
        raise UsageError(f"{out} is not on this machine", hint="write it to a file and copy that")
    if out.is_dir():
        raise UsageError(
            f"{out} is a folder", hint=f"name a file: {out / notebook.with_suffix('.ipynb').name}"
        )
    if not overwrite and out.exists() and notebook.exists() and out.samefile(notebook):
        raise UsageError(
            f"{out} is the notebook itself, which the run would overwrite",
            hint="give the output another name, or say --overwrite",
        )
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {out.parent}", hint=f"mkdir -p {shlex.quote(str(out.parent))}")
    try:
        if special(out):
            return
        with _beside(out):
            pass
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from error


def write(out: Path, notebook: Mapping[str, Any]) -> None:
    """Write the notebook so that a reader finds the old file or the new one, never a part.

    Raises:
        StoreError: the disk is full, or the folder can no longer be written.
    """
    data = encode(notebook)
    try:
        if special(out):
            out.write_bytes(data)
            return
        with _beside(out) as (stream, temporary):
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
            temporary.replace(out.resolve())
    except OSError as error:
        raise StoreError(
            f"the output notebook {out} cannot be written: {error.strerror}",
            hint="the run itself is kept: see nbvertex runs list",
        ) from error


def special(out: Path) -> bool:
    """Whether it is a device or a pipe, which cannot be replaced."""
    return out.exists() and not stat.S_ISREG(out.stat().st_mode)


@contextlib.contextmanager
def _beside(out: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file in the folder of ``out``, with its mode; gone afterwards unless it was moved."""
    target = out.resolve()
    temporary = target.with_name(f".{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as stream:
            if target.exists():
                os.fchmod(stream.fileno(), stat.S_IMODE(target.stat().st_mode))
            yield stream, temporary
    finally:
        temporary.unlink(missing_ok=True)
