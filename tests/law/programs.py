"""Draws small notebooks: statements that belong together, cut into cells and steps at random."""

from __future__ import annotations

import tomllib
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


@st.composite
def programs(draw: st.DrawFn) -> tuple[Cell, ...]:
    """A notebook that Run All understands; where it fails, it fails on both sides alike."""
    themes = draw(st.lists(st.sampled_from(list(THEMES)), min_size=1, max_size=3, unique=True))
    templates = [template for theme in themes for template in THEMES[theme]]
    picks = st.lists(st.integers(0, 5), max_size=5).map(tuple)
    op = st.builds(Op, st.sampled_from(templates), picks, st.sampled_from((0, 1, 2, 2)))
    ops = draw(st.lists(op, min_size=SHORTEST, max_size=LONGEST))
    share = draw(st.sampled_from((0, 1, 2)))  # halves of the names that a last step tells about
    return tuple(assemble(ops, share))


def assemble(ops: list[Op], share: int) -> list[Cell]:
    """The program of these statements.

    Args:
        ops: the statements.
        share: how many halves of the names a last step tells about.
    """
    builder = Builder(MAKERS)
    for op in ops:
        builder.add(op)
    names = sorted(builder.bound)[: len(builder.bound) * share // 2]
    return builder.notebook(probe(names) if share else "")
