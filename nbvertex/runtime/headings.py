"""What stands above the outputs of each round of a step that runs over a list, so that they can be told apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Output = Mapping[str, Any]  # as nbformat has it


def heading(item: str, number: int) -> dict[str, Any]:
    """An output that names a round.

    Args:
        item: ``lr = 0.1``.
        number: of the round, counted from 1.
    """
    return {
        "output_type": "display_data",
        "data": {"text/plain": item},
        "metadata": {"nbvertex": {"round": number, "item": item}},
    }


def joined(rounds: Iterable[tuple[int, str, Iterable[Output]]]) -> tuple[Output, ...]:
    """What a cell showed in all rounds, in their order.

    Args:
        rounds: number, item and outputs of each.
    """
    found: list[Output] = []
    for number, item, outputs in rounds:
        shown = list(outputs)
        if shown:
            found += [heading(item, number), *shown]
    return tuple(found)
