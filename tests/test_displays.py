"""Displays that later cells change: each change is where the display is, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from nbvertex.displays import plain, settled
from nbvertex.events import CellResult, StepResult


def display(text: str, ident: str | None = None) -> dict[str, Any]:
    named = {} if ident is None else {"transient": {"display_id": ident}}
    return {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}, **named}


def update(text: str, ident: str) -> dict[str, Any]:
    return {**display(text, ident), "output_type": "update_display_data"}


CASES = {
    "nothing is named": ([[display("a")], [display("b")]], [["a"], ["b"]]),
    "changed by the next step": ([[display("a", "d")], [update("b", "d")]], [["b"], []]),
    "the last change holds": (
        [[display("a", "d")], [update("b", "d")], [update("c", "d"), display("e")]],
        [["c"], [], ["e"]],
    ),
    "shown once more": ([[display("a", "d")], [display("b", "d")]], [["b"], ["b"]]),
    "of nobody's": ([[update("b", "d")], [display("a", "d")]], [[], ["a"]]),
    "one of two": ([[display("a", "d"), display("b", "e")], [update("c", "e")]], [["a", "c"], []]),
}


@pytest.mark.parametrize("told, shown", CASES.values(), ids=CASES)
def test_changes_reach_their_display(told: list[list[dict[str, Any]]], shown: list[list[str]]) -> None:
    """What the cells of a run show in the end, each in a step of its own."""
    steps = {
        f"s{number}": StepResult(
            name=f"s{number}",
            cells={number: CellResult(position=number, state="done", outputs=tuple(outputs))},
        )
        for number, outputs in enumerate(told, 1)
    }
    cells = [cell for step in settled(steps).values() for cell in step.cells.values()]
    assert [[one["data"]["text/plain"] for one in cell.outputs] for cell in cells] == shown
    assert not any("transient" in one for cell in cells for one in cell.outputs)


def test_one_cell_alone_keeps_its_own() -> None:
    """What is changed elsewhere is no output of the cell that changes it."""
    assert plain([display("a", "d"), update("b", "x")]) == (display("a"),)
