"""Open files: each is opened again at the same place; a closed one stays closed."""

from __future__ import annotations

import io
import os
import stat
import sys
from typing import Any

from . import carried, streams

Reduced = tuple[Any, ...]


def reduce_text_file(file: io.TextIOWrapper) -> Reduced:
    """An open text file: opened again at the same place."""
    if file is sys.stdout or file is sys.stderr or file is sys.stdin:
        return standard_stream, (_standard_name(file),)
    if file.closed:
        return closed_file, (getattr(file, "name", ""), getattr(file, "mode", "r"), file.encoding)
    raw: Any = getattr(file.buffer, "raw", file.buffer)
    _check_disk_file(raw)
    file.flush()
    how = {"encoding": file.encoding, "errors": file.errors}
    try:
        position = file.tell()
    except OSError:  # "telling position disabled by next() call"
        hint = "read it to the end, or keep its lines in a list"
        raise carried.CannotTravel("a text file in the middle of a for loop", hint) from None
    return reopen, (_path_of(raw), raw.name, _again(raw.mode), file.mode, position, how)


def _standard_name(file: Any) -> str:
    return next(name for name in ("stdout", "stderr", "stdin") if getattr(sys, name) is file)


def reduce_binary_file(
    file: io.BufferedReader | io.BufferedWriter | io.BufferedRandom | io.FileIO,
) -> Reduced:
    """An open binary file: opened again at the same place."""
    if file.closed:
        return closed_file, (getattr(file, "name", ""), getattr(file, "mode", "rb"), None)
    raw = getattr(file, "raw", file)
    _check_disk_file(raw)
    if file.writable():
        file.flush()
    how = {"buffering": 0} if isinstance(file, io.FileIO) else {}
    return reopen, (_path_of(raw), raw.name, _again(raw.mode), raw.mode, file.tell(), how)


def _path_of(raw: Any) -> str:
    """Where an open file lies: the working folder may be another since it was opened."""
    path: str = os.path.abspath(raw.name)
    opened = os.fstat(raw.fileno())
    if not (os.path.exists(path) and os.path.samestat(opened, os.stat(path))):
        link = f"/proc/self/fd/{raw.fileno()}"
        real = os.readlink(link) if os.path.exists(link) else path
        if os.path.exists(real) and os.path.samestat(opened, os.stat(real)):
            return real
    return path


def _check_disk_file(raw: Any) -> None:
    if (
        not isinstance(getattr(raw, "name", None), str)
        or not stat.S_ISREG(os.fstat(raw.fileno()).st_mode)
        or not os.path.exists(_path_of(raw))
    ):
        raise carried.CannotTravel(
            "an open pipe, device or deleted file", "read what you need from it and close it"
        )
    if not os.path.samestat(os.fstat(raw.fileno()), os.stat(_path_of(raw))):
        raise carried.CannotTravel(
            "an open file that has been replaced on disk",
            "close it and open it again in the step that needs it",
        )


def _again(mode: str) -> str:
    """The mode that opens a file again without cutting it."""
    if mode.startswith("r"):
        return mode if "b" in mode else mode + "b"
    if mode.startswith("a"):
        return mode
    return "rb+"


def reopen(path: str, name: str, mode: str, shown: str, position: int, how: dict[str, Any]) -> Any:
    """The file again, at its position; text where ``how`` has an encoding."""
    target = path if os.path.exists(path) else name
    binary = mode.replace("b", "") + "b"
    if "buffering" in how:
        file: Any = open(target, binary, buffering=0)  # noqa: SIM115 - it is the user's to close
    elif "encoding" in how:
        text = binary.replace("b", "")
        file = open(target, text, **how)  # noqa: SIM115
        file.mode = shown
    else:
        file = open(target, binary)  # noqa: SIM115
    raw = getattr(getattr(file, "buffer", file), "raw", file)
    raw.name = name
    file.seek(position)
    return file


def closed_file(name: str, mode: str, encoding: str | None) -> Any:
    """A closed file stays a closed file of that name."""
    raw = io.FileIO(os.devnull, "r")
    raw.name = name
    buffered = io.BufferedReader(raw)
    file: Any = buffered
    if encoding is not None:
        file = io.TextIOWrapper(buffered, encoding=encoding)
        file.mode = mode
    file.close()
    return file


def reduce_buffer(buffer: io.StringIO | io.BytesIO) -> Any:
    """A file in memory; pickle cannot take a closed one."""
    return (closed_buffer, (type(buffer),)) if buffer.closed else NotImplemented


def closed_buffer(kind: type[io.StringIO] | type[io.BytesIO]) -> io.StringIO | io.BytesIO:
    """A closed file in memory."""
    buffer = kind()
    buffer.close()
    return buffer


def standard_stream(name: str) -> Any:
    """The standard stream of this process."""
    return streams.standard.get(name) or getattr(sys, name)


def reduce_archive(archive: Any) -> Reduced:
    """What ``np.load`` gives for an ``.npz`` file: opened again; a closed one has only plain parts left."""
    if archive.zip is None:
        return closed_archive, (type(archive), dict(vars(archive)))
    name = archive.zip.filename
    if name is None or not os.path.exists(name):
        raise carried.CannotTravel("an open archive of arrays", "keep the arrays that you need from it")
    options = {
        key: getattr(archive, key) for key in ("allow_pickle", "max_header_size") if hasattr(archive, key)
    }
    kwargs = getattr(archive, "pickle_kwargs", None) or {}
    return open_archive, (os.path.abspath(name), {**options, **kwargs})


def open_archive(path: str, options: dict[str, Any]) -> Any:
    """The archive again."""
    import numpy

    return numpy.load(path, **options)


def closed_archive(kind: type, parts: dict[str, Any]) -> Any:
    """A closed archive."""
    made: Any = object.__new__(kind)
    vars(made).update(parts)
    return made
