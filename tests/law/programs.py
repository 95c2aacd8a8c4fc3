"""Draws small notebooks: statements that belong together, cut into cells and steps at random."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from building import Builder, Op
from hypothesis import strategies as st
from probing import probe
from running import Cell

STATEMENTS = Path(__file__).resolve().parent.parent / "cases" / "law_statements.toml"
SHORTEST, LONGEST = 3, 18  # statements of a program

_table = tomllib.loads(STATEMENTS.read_text(encoding="utf-8"))
MAKERS: dict[str, str] = _table["makers"]
THEMES: dict[str, list[str]] = {
    theme: [*texts["lines"].strip().split("\n"), *texts["blocks"].strip().split("\n\n")]
    for theme, texts in _table["themes"].items()
}


Drawn = tuple[list[Op], int]


@st.composite
def _drawn(draw: st.DrawFn) -> Drawn:
    themes = draw(st.lists(st.sampled_from(list(THEMES)), min_size=1, max_size=3, unique=True))
    templates = [template for theme in themes for template in THEMES[theme]]
    picks = st.lists(st.integers(0, 5), max_size=5).map(tuple)
    op = st.builds(Op, st.sampled_from(templates), picks, st.sampled_from((0, 1, 2, 2)))
    return draw(st.lists(op, min_size=SHORTEST, max_size=LONGEST)), draw(st.sampled_from((0, 1, 2)))


def programs() -> st.SearchStrategy[tuple[Cell, ...]]:
    """A notebook that Run All understands; where it fails, it fails on both sides alike."""
    return _drawn().map(lambda drawn: assemble(*drawn))


@st.composite
def edited_programs(draw: st.DrawFn) -> tuple[tuple[Cell, ...], tuple[Cell, ...]]:
    """A notebook, and the same with at most one statement taken out."""
    ops, share = draw(_drawn())
    gone = draw(st.integers(0, len(ops)))
    return assemble(ops, share), assemble(ops[:gone] + ops[gone + 1 :], share)


def assemble(ops: Sequence[Op], share: int) -> tuple[Cell, ...]:
    """The program of these statements.

    Args:
        ops: the statements.
        share: how many halves of the names, 0 to 2, a last step tells about.
    """
    builder = Builder(MAKERS)
    for op in ops:
        builder.add(op)
    names = sorted(builder.bound)[: len(builder.bound) * share // 2]
    return tuple(builder.notebook(probe(names) if share else ""))
