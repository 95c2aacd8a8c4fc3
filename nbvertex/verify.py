"""Compares a notebook run straight with the same notebook run as isolated steps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from nbvertex import likeness, masks
from nbvertex.aside import Aside
from nbvertex.pipeline import Cell, Pipeline
from nbvertex.sides import Failure, Folder, Side, Told

Kind: TypeAlias = Literal["output", "count", "failure", "value", "file"]
Shown: TypeAlias = list[tuple[str, Any]]
MOST_BYTES = 256 << 20  # of a file that are looked into
MOST_TEXT = 1 << 20
MOST_LINES = 20  # of a difference that are shown
WIDEST = 400  # characters of a line
FILE = "a file"
NOTHING = "(nothing)"
COUNTED = re.compile(
    r"\bgc\.(collect|get_count|get_stats)\([^()]*\)\s*$"
)  # how much garbage there was is nobody's business
UNORDERED = frozenset({"process", "threads"})  # whose texts a kernel mixes with the cell's own as they come


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not alike.

    Args:
        kind: what it is about.
        what: that, in words.
        straight, steps: both sides, as texts.
        position: the cell, where it is about one.
        name: the name or file, where it is about one.
    """

    kind: Kind
    what: str
    straight: str
    steps: str
    position: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """How two sides compare.

    Args:
        differences: those of cells in notebook order, then values and files; empty: the sides are alike.
        cells, outputs, values, files: how many were compared.
        failure: how both failed, if they did so alike.
        closed: names whose values could not be looked into; only their types were compared.
    """

    differences: tuple[Difference, ...]
    cells: int
    outputs: int
    values: int
    files: int
    failure: Failure | None = None
    closed: tuple[str, ...] = ()


def compare(pipeline: Pipeline, straight: Side, steps: Side, aside: Aside) -> Compared:
    """Compare two runs of a notebook.

    Args:
        pipeline: the notebook.
        straight, steps: the two runs.
        aside: what is not compared.
    """
    cells = {cell.position: cell for step in pipeline.steps for cell in step.cells}
    both = sorted((straight.outputs.keys() & steps.outputs.keys()) - aside.cells.keys())
    failures = {side.failure.position for side in (straight, steps) if side.failure is not None}
    found: list[Difference] = []
    outputs = 0
    for position in both:
        shown = [likeness.shown(side.outputs[position]) for side in (straight, steps)]
        if position in failures:  # how it fails is told apart
            shown = [[item for item in items if item[0] != "error"] for items in shown]
        outputs += len(shown[0])
        found += _outputs(cells[position], *shown)
        if position not in failures:
            found += _counts(position, straight, steps)
    found += _failures(straight, steps, aside)
    found.sort(key=lambda one: one.position or 0)
    values = _names(straight, steps, aside)
    found += [one for name in values for one in _value(name, straight, steps)]
    files = _paths(straight, steps, aside) if steps.refused is None else []
    found += [one for path in files for one in _file(path, straight.folder, steps.folder)]
    told = {**(straight.values or {}), **(steps.values or {})}
    return Compared(
        differences=tuple(found),
        cells=len(both),
        outputs=outputs,
        values=len(values),
        files=sum(_kind(straight.folder.root / path) == FILE for path in files) if straight.folder else 0,
        failure=None if found else straight.failure,
        closed=tuple(name for name in values if not told[name][1]),
    )


def diff(difference: Difference) -> Iterator[str]:
    """The lines in which the sides of a difference differ, not too many and not too wide."""
    import difflib

    sides = difference.straight.splitlines(), difference.steps.splitlines()
    lines = list(difflib.unified_diff(*sides, "straight", "as steps", lineterm="", n=2))
    yield from (line[:WIDEST] for line in lines[:MOST_LINES])
    if len(lines) > MOST_LINES:
        yield f"... {len(lines) - MOST_LINES} more lines"


# --- cells


def _outputs(cell: Cell, one: Shown, two: Shown) -> Iterator[Difference]:
    if COUNTED.search(cell.source):
        one, two = ([item for item in shown if item[0] != "execute_result"] for shown in (one, two))
    if one == two or (UNORDERED.intersection(cell.facts.outside) and _lines(one) == _lines(two)):
        return
    pairs = zip([*one, ("", None)], [*two, ("", None)], strict=False)
    first, second = next(pair for pair in pairs if pair[0] != pair[1])
    yield Difference(
        "output", f"what cell {cell.position} shows", *_texts(first, second), position=cell.position
    )


def _lines(shown: Shown) -> list[str]:
    """Everything a cell shows as lines, in no order."""
    return sorted(line for kind, content in shown for line in str(content).split("\n") if line)


def _texts(one: tuple[str, Any], two: tuple[str, Any]) -> tuple[str, str]:
    """Two outputs as texts: where both are displays, the first form of theirs that differs."""
    if isinstance(one[1], dict) and isinstance(two[1], dict):
        mimes = [m for m in ("text/plain", *sorted({*one[1], *two[1]})) if one[1].get(m) != two[1].get(m)]
        return tuple(_form(mimes[0], item[1]) for item in (one, two))  # type: ignore[return-value]
    return _as_text(one), _as_text(two)


def _form(mime: str, data: dict[str, Any]) -> str:
    if mime not in data:
        return f"(no {mime})"
    return str(data[mime]) if mime == "text/plain" else f"{mime}: {data[mime]}"


def _as_text(item: tuple[str, Any]) -> str:
    kind, content = item
    if content is None:
        return NOTHING
    if kind == "error":
        return ": ".join(content)
    if isinstance(content, dict):
        return str(content.get("text/plain", content))
    return str(content)


def _counts(position: int, straight: Side, steps: Side) -> Iterator[Difference]:
    one, two = straight.counts.get(position), steps.counts.get(position)
    if one and two and one != two:
        yield Difference(
            "count", f"the number of cell {position}", f"In [{one}]", f"In [{two}]", position=position
        )


def _failures(straight: Side, steps: Side, aside: Aside) -> Iterator[Difference]:
    one, two = straight.failure, steps.failure
    if steps.refused is not None and one is None:
        return
    positions = {failure.position for failure in (one, two) if failure is not None}
    if positions & aside.cells.keys() or _same(one, two):
        return
    first = min((position for position in positions if position is not None), default=None)
    ended = f"refused: {steps.refused}" if steps.refused is not None else _failed(two)
    yield Difference("failure", "how it ends", _failed(one), ended, position=first)


def _same(one: Failure | None, two: Failure | None) -> bool:
    if one is None or two is None:
        return one is two
    evalues = masks.text(one.evalue), masks.text(two.evalue)
    return (
        one.position == two.position
        and one.ename == two.ename
        and (not one.ename or evalues[0] == evalues[1])
    )


def _failed(failure: Failure | None) -> str:
    if failure is None:
        return "all cells run"
    return f"cell {failure.position}: {failure}" if failure.position else str(failure)


# --- values


def _names(straight: Side, steps: Side, aside: Aside) -> list[str]:
    """The names whose values are compared; none where a side did not come to its end."""
    if straight.values is None or steps.values is None:
        return []
    return sorted((straight.values.keys() | steps.values.keys()) - aside.names.keys() - steps.unknown)


def _value(name: str, straight: Side, steps: Side) -> Iterator[Difference]:
    one, two = (straight.values or {}).get(name), (steps.values or {}).get(name)
    if not alike(one, two):
        yield Difference("value", f"the value of `{name}` at the end", *both(one, two), name=name)


def alike(one: Told | None, two: Told | None) -> bool:
    """Whether two values are the same, as far as they could be looked into."""
    if one is None or two is None:
        return one is two
    return one[0] == two[0] and (one[1] == two[1] or not (one[1] and two[1]))


def both(one: Told | None, two: Told | None) -> tuple[str, str]:
    """Two values that are not alike in one line each, so that the difference shows."""
    texts = told(one), told(two)
    if texts[0] != texts[1] or one is None or two is None:
        return texts
    return f"{texts[0]} {one[1][:8]}", f"{texts[1]} {two[1][:8]}"


def told(value: Told | None) -> str:
    """A value in one line."""
    if value is None:
        return "not bound"
    kind, digest, text = value
    return f"{text} ({kind})" if text else f"{kind} {digest[:8]}".rstrip()


# --- files


def _paths(straight: Side, steps: Side, aside: Aside) -> list[str]:
    """The files and folders that either side has made, changed or removed."""
    if straight.folder is None or steps.folder is None:
        return []
    only = steps.folder.changed - straight.folder.changed  # such as files named by the time
    own = aside.files.keys() - steps.folder.changed
    given = {*aside.files, *(only if own else ())}
    found = (straight.folder.changed | steps.folder.changed) - given
    return sorted({path.rstrip("/") for path in found})


def _file(path: str, straight: Folder | None, steps: Folder | None) -> Iterator[Difference]:
    assert straight is not None
    assert steps is not None
    one, two = straight.root / path, steps.root / path
    kinds = _kind(one), _kind(two)
    if kinds[0] != kinds[1]:
        yield Difference("file", path, *kinds, name=path)
    elif kinds[0] == FILE and not _same_bytes(one, two):
        if max(one.stat().st_size, two.stat().st_size) > MOST_BYTES:
            sizes = [f"{path.stat().st_size:,} bytes" for path in (one, two)]
            yield Difference("file", path, sizes[0], sizes[1], name=path)
            return
        first, second = one.read_bytes(), two.read_bytes()
        if not likeness.same_file(path, first, second):
            yield Difference("file", path, _content(first), _content(second), name=path)


def _kind(path: Path) -> str:
    if path.is_symlink():
        return f"a link to {path.readlink()}"
    if path.is_dir():
        return "a folder"
    return FILE if path.exists() else "not there"


def _same_bytes(one: Path, two: Path) -> bool:
    import filecmp

    return filecmp.cmp(one, two, shallow=False)


def _content(data: bytes) -> str:
    try:
        return data.decode() if len(data) <= MOST_TEXT else f"{len(data):,} bytes"
    except UnicodeDecodeError:
        return f"{len(data):,} bytes"
