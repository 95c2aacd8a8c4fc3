"""Which step each code cell belongs to: by its marks, by the headings above it, or each its own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nbvertex.dialect import Marks
from nbvertex.errors import UsageError
from nbvertex.notebook import SourceCell
from nbvertex.options import Wrong, step_name
from nbvertex.pipeline import SETUP

SPLITS = ("headings", "cells")
WHOLE = "notebook"  # the one step of a notebook without marks


@dataclass(frozen=True, slots=True)
class Cut:
    """A notebook cut into steps.

    Args:
        steps: names in the order of their first cells, the set-up first; each with its cells' positions.
        titles: what a name was made from, where it was made from something.
        marked: the notebook's own marks made the steps.
    """

    steps: Mapping[str, tuple[int, ...]]
    titles: Mapping[str, str]
    marked: bool


def cut(cells: Sequence[SourceCell], marks: Mapping[int, Marks], split: str | None = None) -> Cut:
    """Cut a notebook.

    Args:
        cells: all cells, in order.
        marks: what the marks on each code cell say, by position.
        split: ``headings`` or ``cells``; None: by the marks.

    Raises:
        UsageError: there is no such split.
    """
    if split not in (None, *SPLITS):
        raise UsageError(f"there is no split {split!a}", hint=f"known: {', '.join(SPLITS)}")
    titles: dict[str, str] = {}
    by_marks = split is None and any(m.step and not m.skip for m in marks.values())
    if split == "cells":
        where = _each(cells, marks)
    elif split == "headings":
        where = _by_headings(cells, marks, titles)
    elif by_marks:
        where = _by_marks(cells, marks)
    else:
        where = ((position, WHOLE) for position, _ in _running(cells, marks))
    steps: dict[str, list[int]] = {SETUP: []}
    for position, name in where:
        steps.setdefault(name, []).append(position)
    return Cut({name: tuple(at) for name, at in steps.items() if at}, titles, by_marks)


def _running(cells: Sequence[SourceCell], marks: Mapping[int, Marks]) -> Iterator[tuple[int, Marks]]:
    """The code cells that run: those not skipped, and not blank without a mark."""
    for cell in cells:
        mark = marks.get(cell.position)
        if mark and not mark.skip and (mark.source.strip() or mark.marked or mark.given):
            yield cell.position, mark


def _by_marks(cells: Sequence[SourceCell], marks: Mapping[int, Marks]) -> Iterator[tuple[int, str]]:
    """An unmarked cell joins the step above it; those above the first step join the set-up."""
    above = SETUP
    for position, mark in _running(cells, marks):
        if mark.setup:
            yield position, SETUP
        else:
            above = mark.step or above
            yield position, above


def _each(cells: Sequence[SourceCell], marks: Mapping[int, Marks]) -> Iterator[tuple[int, str]]:
    """Set-up marks count above the first other cell only, so that no cell moves up."""
    begun = False
    for position, mark in _running(cells, marks):
        begun = begun or not mark.setup
        yield position, f"cell-{position}" if begun else SETUP


def _by_headings(
    cells: Sequence[SourceCell], marks: Mapping[int, Marks], titles: dict[str, str]
) -> Iterator[tuple[int, str]]:
    """Code below a heading is a step; the headings that count are the highest of which code stands below two."""
    running = dict(_running(cells, marks))
    level = _level(cells, running)
    name, title, begun = SETUP, "", False
    for cell in cells:
        if cell.kind == "markdown":
            for depth, text in _headings(cell.source):
                if depth <= level:
                    name, title = "", text
        elif cell.position in running and running[cell.position].setup and not begun:
            yield cell.position, SETUP
        elif cell.position in running:
            begun = begun or name != SETUP
            if not name:
                name = _slug(title, cell.position, titles)
                titles[name] = title
            yield cell.position, name


def _level(cells: Sequence[SourceCell], running: Mapping[int, Marks]) -> int:
    sections: dict[int, int] = {}  # level to how many headings have code below, before the next one as high
    waiting: set[int] = set()
    for cell in cells:
        if cell.kind == "markdown":
            for depth, _ in _headings(cell.source):
                waiting = {other for other in waiting if other < depth} | {depth}
        elif cell.position in running:
            for depth in waiting:
                sections[depth] = sections.get(depth, 0) + 1
            waiting = set()
    several = [depth for depth, count in sections.items() if count > 1]
    return min(several, default=min(sections, default=6))


def _headings(text: str) -> Iterator[tuple[int, str]]:
    """The headings of a markdown cell, with their levels; what stands in fences is none."""
    fenced, before = "", ""
    for line in text.splitlines():
        fence = re.match(r" {0,3}(`{3,}|~{3,})", line)
        if fence and (not fenced or fence[1].startswith(fenced)):
            fenced = "" if fenced else fence[1]
        elif not fenced:
            if heading := re.fullmatch(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*", line):
                yield len(heading[1]), _bare(heading[2] or "")
            elif heading := re.search(r"<h([1-6])\b[^>]*>(.*?)(</h|$)", line, re.IGNORECASE):
                yield int(heading[1]), _bare(heading[2])
            elif before.strip() and re.fullmatch(r" {0,3}(=+|-+)[ \t]*", line):
                yield 1 if "=" in line else 2, _bare(before)
        before = "" if fenced or line.lstrip().startswith(("#", "|", "-", ">", "*")) else line


def _bare(text: str) -> str:
    """A heading's words without markup."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)|<[^>]*>", r"\1", text)
    return re.sub(r"[*_`]+", "", text).strip()


def _slug(title: str, position: int, taken: Mapping[str, str]) -> str:
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", title).lower())
    name = "-".join(words)[:60].strip("-")
    try:
        name = step_name(name)
    except Wrong:
        name = f"cell-{position}"
    if name == SETUP or name in taken:
        name = f"{name}-{position}"
    return name
