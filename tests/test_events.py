"""What a run tells, as JSON lines."""

from __future__ import annotations

import json

import pytest

from nbvertex.events import (
    CellEnded,
    CellOutput,
    CellStarted,
    RunEnded,
    RunEvent,
    RunStarted,
    StepChanged,
    as_json,
)

EVENTS: list[tuple[RunEvent, str]] = [
    (
        RunStarted(run="r", pipeline="p", steps=("a",), at=1.0),
        '{"event": "run", "run": "r", "pipeline": "p", "steps": ["a"], "at": 1.0, "resumed": false, "state": "running"}',
    ),
    (
        StepChanged(run="r", step="a", state="cached", at=1.0, source="q"),
        '{"event": "step", "run": "r", "step": "a", "state": "cached", "at": 1.0, "attempt": 1, "source": "q"}',
    ),
    (
        CellStarted(run="r", step="a", position=3, at=1.0),
        '{"event": "cell", "run": "r", "step": "a", "position": 3, "at": 1.0, "state": "running"}',
    ),
    (
        CellOutput(run="r", step="a", position=3, output={"output_type": "stream"}),
        '{"event": "output", "run": "r", "step": "a", "position": 3, "output": {"output_type": "stream"}}',
    ),
    (
        CellEnded(run="r", step="a", position=3, at=1.0, state="failed", count=2),
        '{"event": "cell", "run": "r", "step": "a", "position": 3, "at": 1.0, "state": "failed", "count": 2}',
    ),
    (
        RunEnded(run="r", state="failed", at=1.0, error="boom"),
        '{"event": "run", "run": "r", "state": "failed", "at": 1.0, "error": "boom"}',
    ),
]


@pytest.mark.parametrize("event, line", EVENTS, ids=[type(event).__name__ for event, _ in EVENTS])
def test_event_as_a_line(event: RunEvent, line: str) -> None:
    """One object a change: what it is about first, what is not known left out."""
    assert json.dumps(as_json(event)) == line
