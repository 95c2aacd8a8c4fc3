"""Displays that a later cell changes, in another step perhaps: every change reaches the output that it is meant for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from nbvertex.events import CellResult, Output, StepResult

UPDATE = "update_display_data"
_INNER = ("transient",)  # what a notebook does not store


def settled(steps: Mapping[str, StepResult]) -> dict[str, StepResult]:
    """The results of a run's steps, with every change of a display where that display is.

    Args:
        steps: step name -> what it did; outputs as the steps told them.
    """
    cells = [cell for step in steps.values() for cell in step.cells.values()]
    if not any(_is_named(output) for cell in cells for output in cell.outputs):
        return dict(steps)
    final = _settle({cell.position: cell.outputs for cell in cells})

    def done(cell: CellResult) -> CellResult:
        return replace(cell, outputs=final[cell.position])

    return {
        name: replace(step, cells={position: done(cell) for position, cell in step.cells.items()})
        for name, step in steps.items()
    }


def plain(outputs: Iterable[Output]) -> tuple[Output, ...]:
    """The outputs of one cell as a notebook stores them, changes of other cells' displays left out."""
    return _settle({1: tuple(outputs)})[1]


def _is_named(output: Output) -> bool:
    return "transient" in output


def _settle(cells: Mapping[int, tuple[Output, ...]]) -> dict[int, tuple[Output, ...]]:
    displays: dict[str, list[dict[str, Any]]] = {}
    found: dict[int, list[dict[str, Any]]] = {}
    for position in sorted(cells):  # the order in which Run All would show them
        here = found[position] = []
        for output in cells[position]:
            stored = {key: value for key, value in output.items() if key not in _INNER}
            if _is_named(output):
                known = displays.setdefault(output["transient"]["display_id"], [])
                for earlier in known:
                    earlier.update(data=output["data"], metadata=output["metadata"])
                known.append(stored)
            if output["output_type"] != UPDATE:
                here.append(stored)
    return {position: tuple(outputs) for position, outputs in found.items()}
