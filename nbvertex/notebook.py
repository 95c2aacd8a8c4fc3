"""A file as cells: .ipynb of every nbformat and .py; the only user of jupytext."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from nbvertex.errors import NotebookError, Place, nearest
from nbvertex.old_formats import Malformed, upgraded

OLDEST, NEWEST = 1, 4  # nbformats; `raw` gives the newest, whatever the file has
CellKind: TypeAlias = Literal["code", "markdown", "raw"]

_KINDS: dict[str, CellKind] = {"code": "code", "markdown": "markdown", "raw": "raw"}

# A file that is not JSON is often one of these.
_NOT_JSON = (
    (rb"\A\s*<(!doctype|html)", "this is a web page; download the raw file instead"),
    (rb"\Aversion https://git-lfs", "this is a Git LFS pointer; `git lfs pull` fetches the notebook"),
    (rb"^<<<<<<< ", "the file holds merge conflict marks; resolve them first (nbdime helps)"),
    (rb"\A\s*(#|import |from )", "if this is a Python script, its name must end in .py"),
)
# The languages of kernels that say nothing else about themselves.
_FOREIGN_KERNELS = (
    ("ir", "R"), ("julia", "Julia"), ("bash", "Bash"), ("scala", "Scala"), ("sparkkernel", "Scala"), ("sparkr", "R"),
    ("deno", "TypeScript"), ("javascript", "JavaScript"), ("ijavascript", "JavaScript"), ("xcpp", "C++"),
    ("rust", "Rust"), ("gonb", "Go"), (".net", "C#"), ("octave", "Octave"), ("matlab", "MATLAB"), ("sas", "SAS"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SourceCell:
    """One cell as the file has it.

    Args:
        position: place in the notebook, counted from 1, every kind included.
        kind: code, markdown or raw.
        source: its text.
        tags: the tags in its metadata that are text, without the blanks around them.
        id: its nbformat id, or empty.
        metadata: all of its metadata.
    """

    position: int
    kind: CellKind
    source: str
    tags: tuple[str, ...] = ()
    id: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notebook:
    """A file as cells.

    Args:
        path: the file as the user named it.
        nbformat: its major version; 4 for a script.
        metadata: the notebook's own.
        kernel: the name of the kernel it asks for, ``python3`` where it does not.
        language: of that kernel, in lower case.
        cells: all of them, in order.
    """

    path: str
    nbformat: int
    metadata: Mapping[str, Any]
    kernel: str
    language: str
    cells: tuple[SourceCell, ...]
    _raw: Callable[[], dict[str, Any]] = field(repr=False, compare=False)

    def raw(self) -> dict[str, Any]:
        """The whole notebook, outputs included, as new plain JSON of nbformat 4.

        Its ``cells`` are those of ``self.cells``, in the same order; each has ``metadata`` and its source as
        one text, code cells have ``outputs`` and ``execution_count`` too.

        Raises:
            NotebookError: the parts that are read only now (old outputs) are malformed.
        """
        return self._raw()


def read(path: str | Path) -> Notebook:
    """Read a notebook or script.

    Args:
        path: an .ipynb file of any nbformat, or a .py file (percent cells, or one cell where it has no marks).

    Raises:
        NotebookError: there is no such file, or it is no notebook: why, and what to do.
    """
    name = str(path)
    data = _bytes(Path(path), name)
    text = _decode(data, name)
    if Path(path).suffix.lower() == ".py":
        return _script(name, text)
    if not text.strip():
        raise _error(name, "the file is empty", "save a notebook there: Jupyter makes new ones")
    return _ipynb(name, text)


def parse(name: str, text: str) -> Notebook:
    """A notebook from the text of an .ipynb file.

    Args:
        name: what to call it in messages.
        text: of the file.

    Raises:
        NotebookError: it is no notebook.
    """
    return _ipynb(name, text)


def _error(name: str, message: str, hint: str | None = None, cell: int | None = None) -> NotebookError:
    return NotebookError(message, place=Place(notebook=name, cell=cell), hint=hint)


def _bytes(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            raise _error(name, "this is a folder, not a notebook", _neighbours(path, ""))
        return path.read_bytes()
    except FileNotFoundError:
        raise _error(name, "there is no such file", _neighbours(path.parent, path.name)) from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _error(name, f"cannot be read: {reason}") from error


def _neighbours(folder: Path, name: str) -> str | None:
    """A hint that names notebooks lying there: the one nearly called ``name``, or the first few."""
    try:
        there = sorted(entry for entry in folder.glob("*.ipynb"))
    except OSError:
        return None
    if not name:
        names = ", ".join(entry.name for entry in there[:5])
        return f"notebooks in it: {names}{', ...' if len(there) > 5 else ''}" if there else None
    by_stem = {entry.stem: entry for entry in there}
    near = nearest(Path(name).stem, by_stem)
    return f"did you mean {str(by_stem[near])!r}?" if near else None


def _decode(data: bytes, name: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or (len(data) > 3 and 0 in data[:2] and data.count(0) > 1):
        raise _error(name, "the text is UTF-16 or UTF-32, not UTF-8", "save the file as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _error(
            name,
            f"line {line} is not UTF-8 (byte 0x{data[error.start]:02x} at offset {error.start})",
            "save the file as UTF-8",
        ) from None


# .ipynb


class _Cell(msgspec.Struct):
    """What is read of a cell; outputs are stepped over without making anything of them."""

    cell_type: Any = None
    source: Any = ""
    metadata: Any = None
    id: Any = None


class _File(msgspec.Struct):
    nbformat: Any = None
    metadata: Any = None
    cells: list[_Cell] | None = None


def _ipynb(name: str, text: str) -> Notebook:
    file = _parse(name, text)
    version = file.nbformat
    if not isinstance(version, int) or isinstance(version, bool):
        raise _error(
            name,
            "this is JSON but not a notebook: it has no `nbformat` number",
            "a notebook is saved by Jupyter, Colab or VS Code as .ipynb",
        )
    if not OLDEST <= version <= NEWEST:
        raise _error(
            name,
            f"nbformat {version} is not known here; this nbvertex reads {OLDEST} to {NEWEST}",
            "in Jupyter, save the notebook as nbformat 4",
        )
    load = partial(_whole, name, text, old=version < NEWEST)
    if version < NEWEST:
        file = _structured(name, load())
    if file.cells is None:
        raise _error(name, "this is JSON but not a notebook: it has no `cells`")
    return _notebook(name, version, file, load)


def _notebook(name: str, version: int, file: _File, load: Callable[[], dict[str, Any]]) -> Notebook:
    metadata = file.metadata if isinstance(file.metadata, dict) else {}
    kernel, language = _kernel(metadata)
    return Notebook(
        path=name,
        nbformat=version,
        metadata=metadata,
        kernel=kernel,
        language=language,
        cells=tuple(_cell(name, position, cell) for position, cell in enumerate(file.cells or (), 1)),
        _raw=load,
    )


def _whole(name: str, text: str, *, old: bool) -> dict[str, Any]:
    try:
        return _filled(upgraded(_json(name, text)) if old else _json(name, text))
    except Malformed as error:
        raise _error(name, f"this is JSON but not a notebook: {error}") from None


def _parse(name: str, text: str) -> _File:
    try:
        return msgspec.json.decode(text, type=_File)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        pass  # msgspec is stricter than Jupyter (NaN in old outputs), and its messages know no lines
    return _structured(name, _json(name, text))


def _structured(name: str, whole: Any) -> _File:
    try:
        return msgspec.convert(whole, type=_File)
    except msgspec.ValidationError as error:
        raise _error(name, f"this is JSON but not a notebook: {_lower(str(error))}") from None
    except UnicodeEncodeError:
        raise _error(name, "this is JSON but not a notebook: a key holds half of a character") from None


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _json(name: str, text: str) -> Any:
    """All of the file, as Jupyter reads it: NaN and lone surrogates are taken as they are."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        hint = next(
            (
                hint
                for mark, hint in _NOT_JSON
                if re.search(mark, text.encode(), re.MULTILINE | re.IGNORECASE)
            ),
            None,
        )
        where = f"line {error.lineno}, column {error.colno}"
        raise _error(name, f"this is not JSON: {_lower(error.msg)} ({where})", hint) from None
    except RecursionError:
        raise _error(name, "its JSON is nested too deep to be a notebook") from None
    except ValueError as error:  # a number of more digits than Python takes
        raise _error(name, f"its JSON cannot be read: {_lower(str(error))}") from None


def _kernel(metadata: Mapping[str, Any]) -> tuple[str, str]:
    def said(section: str, key: str) -> str:
        inside = metadata.get(section)
        value = inside.get(key) if isinstance(inside, dict) else None
        return value.strip() if isinstance(value, str) else ""

    kernel = said("kernelspec", "name")
    language = said("kernelspec", "language") or said("language_info", "name")
    if not language:
        spoken = (
            word
            for start, word in _FOREIGN_KERNELS
            if re.match(re.escape(start) + r"(\b|\d|_)", kernel.lower())
        )
        language = next(spoken, "python")
    return kernel or "python3", "python" if language.lower() in ("python", "ipython") else language.lower()


def _cell(name: str, position: int, cell: _Cell) -> SourceCell:
    kind = _KINDS.get(cell.cell_type) if isinstance(cell.cell_type, str) else None
    if kind is None:
        raise _error(name, f"the cell's `cell_type` is {_short(cell.cell_type)}", _valid_kinds(), position)
    source = "" if cell.source is None else _joined(cell.source)
    if not isinstance(source, str):
        raise _error(
            name,
            f"the cell's source is neither text nor a list of lines: {_short(cell.source)}",
            None,
            position,
        )
    if not source.isascii() and re.search("[\ud800-\udfff]", source):
        raise _error(
            name,
            "the cell holds half of a character (a lone surrogate), which no file can keep",
            "retype the character; it is often an emoji",
            position,
        )
    metadata = cell.metadata if isinstance(cell.metadata, dict) else {}
    return SourceCell(
        position=position,
        kind=kind,
        source=source,
        tags=_tags(metadata.get("tags")),
        id=cell.id if isinstance(cell.id, str) else "",
        metadata=metadata,
    )


def _valid_kinds() -> str:
    return "a cell is `code`, `markdown` or `raw`"


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _tags(value: object) -> tuple[str, ...]:
    """One text counts as one tag; what is no text at all is left to `dialect` to name."""
    values = value if isinstance(value, list) else [value]
    return tuple(tag.strip() for tag in values if isinstance(tag, str) and tag.strip())


def _filled(notebook: Any) -> dict[str, Any]:
    """What nbformat 4 asks for and sloppy writers leave out; what is malformed stays, to be named."""
    if not isinstance(notebook.get("metadata"), dict):
        notebook["metadata"] = {}
    for cell in notebook["cells"]:
        if not isinstance(cell, dict):
            continue
        if not isinstance(cell.get("metadata"), dict):
            cell["metadata"] = {}
        source = cell.get("source")
        cell["source"] = "" if source is None else _joined(source)
        if cell.get("cell_type") == "code":
            if not isinstance(cell.get("outputs"), list):
                cell["outputs"] = []
            cell.setdefault("execution_count", None)
    return dict(notebook)


def _joined(source: Any) -> Any:
    lines = isinstance(source, list) and all(isinstance(line, str) for line in source)
    return "".join(source) if lines else source


# .py


def _script(name: str, text: str) -> Notebook:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    percent = re.search(r"^# ?%%", text, re.MULTILINE)
    header = re.match(r"(?:#[^\n]*\n|[ \t]*\n)*?# ---\n(?:#[^\n]*\n)*?# jupyter:", text)
    load = partial(_through_jupytext, name, text, "py" if header else "py:percent") if percent or header else partial(
        _one_cell, text)  # fmt: skip
    raw = load()
    return _notebook(name, NEWEST, _structured(name, raw), load)


def _one_cell(source: str) -> dict[str, Any]:
    cells = [{"cell_type": "code", "source": source.rstrip("\n")}] if source.strip() else []
    return _filled({"nbformat": NEWEST, "nbformat_minor": 4, "metadata": {}, "cells": cells})


def _through_jupytext(name: str, text: str, form: str) -> dict[str, Any]:
    import jupytext

    commas = COMMA not in text
    try:
        notebook = jupytext.reads(_HEADS.sub(_without_commas, text) if commas else text, fmt=form)
    except Exception as error:  # jupytext lets through what YAML and its own parsers raise on odd headers
        raise _error(
            name,
            f"jupytext cannot read it: {str(error).partition(chr(10))[0]}",
            "the marks of cells are lines `# %%`",
        ) from error
    told = json.dumps(notebook)
    return _filled(json.loads(told.replace(json.dumps(COMMA)[1:-1], ",") if commas else told))


COMMA = "\ue02c"  # stands for a comma within a tag, which jupytext does not let through
_HEADS = re.compile(r"^# ?%%.*", re.MULTILINE)
_TEXTS = re.compile(r'"(?:[^"\\]|\\.)*"')


def _without_commas(head: re.Match[str]) -> str:
    """The first line of a cell without commas in its texts: `each:lr in [0.1, 0.01]` is a good tag here."""
    return _TEXTS.sub(lambda text: text[0].replace(",", COMMA), head[0])
