"""What an attempt of a step did: as a row of the book, and as a part of the run's result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from nbvertex.events import CellResult, StepResult, StepState
from nbvertex.flight import Flight
from nbvertex.lineage import CellRow, Outcome, StepRow
from nbvertex.plan import Planned


def row_of(
    flight: Flight,
    state: StepState,
    *,
    ended: float | None = None,
    error: str | None = None,
    outcome: int | None = None,
) -> StepRow:
    """The row of an attempt."""
    homes = flight.inputs.homes()
    return StepRow(
        position=flight.planned.place,
        attempt=flight.number,
        name=flight.planned.name,
        state=state,
        code=flight.planned.identity,
        key=flight.key,
        inputs={name: homes[entry] for name, entry in flight.inputs.names.items() if entry is not None},
        outcome=outcome,
        started=flight.started,
        ended=ended,
        error=error,
        round=flight.round or 0,
        item=flight.planned.round.told if flight.planned.round is not None else None,
    )


def result_of(flight: Flight, state: StepState, outcome: Outcome, why: str | None = None) -> StepResult:
    """What a step did, for whoever asked for the run."""
    return StepResult(
        name=flight.planned.name,
        state=state,
        attempt=flight.number,
        source=outcome.run if state == "cached" else None,
        started=outcome.started,
        ended=outcome.ended,
        cells={
            cell.position: _cell_result(cell.position, flight.cells) for cell in flight.planned.step.cells
        },
        why=why,
        widgets=outcome.widgets,
        measures=outcome.measures,
        rounds=flight.rounds or (),
        round=flight.round,
        item=flight.planned.round.told if flight.planned.round is not None else None,
    )


def _cell_result(position: int, cells: Mapping[int, CellRow]) -> CellResult:
    found = cells.get(position)
    if found is None:
        return CellResult(position=position, state="skipped")
    return CellResult(
        position=position,
        state=found.state,
        count=found.count,
        started=found.started,
        ended=found.ended,
        outputs=found.outputs,
    )


def as_placed(planned: Planned, rows: Iterable[CellRow]) -> dict[int, CellRow]:
    """What cells of another run did, under the positions and numbers that the same cells have now."""
    found: dict[int, CellRow] = {}
    for cell, row in zip(planned.step.cells, rows, strict=False):
        outputs = tuple(
            {**output, "execution_count": cell.count} if "execution_count" in output else output
            for output in row.outputs
        )
        found[cell.position] = msgspec.structs.replace(
            row, position=cell.position, count=cell.count, outputs=outputs
        )
    return found
