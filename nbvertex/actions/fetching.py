"""What a remote run printed and showed, fetched from the bucket: as the result of a run, and as its output notebook."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nbvertex import __version__, follow, output_file, report
from nbvertex.actions.reading import Opened
from nbvertex.errors import NbvertexError, Place, StepFailed
from nbvertex.events import CellResult, RunResult, RunState, StepResult, StepState
from nbvertex.home import Home, writing
from nbvertex.pipeline import Step
from nbvertex.runtime import alone

if TYPE_CHECKING:
    from nbvertex.patience import Patience
    from nbvertex.submissions import StepSeen, Submission
    from nbvertex.vertex import Door


def result_of(
    door: Door, patience: Patience, opened: Opened, submission: Submission, error: NbvertexError | None
) -> RunResult:
    """What the cells of a submission that has ended did.

    Args:
        door, patience: how the bucket is read.
        opened: the notebook.
        submission: as it ended.
        error: why it did not end well.

    Raises:
        Fault: the bucket cannot be read.
    """
    steps = {}
    for step in opened.pipeline.steps:
        seen = submission.seen.get(step.name)
        steps[step.name] = StepResult(name=step.name) if seen is None else _step(door, patience, step, seen)
    state = submission.state if submission.over else "failed"
    return RunResult(
        run=submission.id,
        state=cast(RunState, state),
        started=submission.started,
        ended=submission.ended or submission.started,
        parameters=submission.parameters,
        steps=steps,
        error=error,
    )


def _step(door: Door, patience: Patience, step: Step, seen: StepSeen) -> StepResult:
    state = cast(StepState, seen.state)
    url = f"{seen.state_url}/{alone.NOTEBOOK}"
    data = patience.ask(lambda: door.read(url)) if seen.state_url and seen.state != "skipped" else None
    told = json.loads(data) if data is not None else {}
    return StepResult(
        name=step.name,
        state=state,
        attempt=seen.attempt,
        started=follow.seconds(seen.started),
        ended=follow.seconds(seen.ended),
        cells=dict(_cells(told, state)),
        why=seen.error,
        widgets=_widgets(told),
    )


def _cells(told: Mapping[str, Any], state: StepState) -> Iterator[tuple[int, CellResult]]:
    for cell in told.get("cells", ()):
        position = cell["metadata"]["nbvertex"]["cell"]
        failed = state == "failed" and any(output["output_type"] == "error" for output in cell["outputs"])
        ran: StepState = "failed" if failed else "done"
        yield (
            position,
            CellResult(
                position=position,
                state=ran if cell["execution_count"] is not None else "skipped",
                count=cell["execution_count"],
                outputs=tuple(cell["outputs"]),
            ),
        )


def _widgets(told: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (
        told.get("metadata", {}).get("widgets", {}).get(report.WIDGET_STATE, {}).get("state", {})
    )
    return found


def failure(result: RunResult, notebook: str) -> StepFailed | None:
    """The error that the cells themselves show, for a log that has not told it."""
    for step in result.steps.values():
        for cell in step.cells.values():
            for output in cell.outputs if cell.state == "failed" else ():
                if output["output_type"] == "error":
                    said = f"{output['ename']}: {output['evalue']}" if output["evalue"] else output["ename"]
                    return StepFailed(
                        said, place=Place(notebook=notebook, cell=cell.position, step=step.name)
                    )
    return None


def write(opened: Opened, home: Home, result: RunResult) -> Path:
    """Write the output notebook into the run's folder; gives its path.

    Raises:
        StoreError: it cannot be written.
    """
    raw = opened.notebook.raw()
    for cell in raw["cells"]:
        cell.pop("outputs", None)
    out = home.runs / result.run / f"{opened.pipeline.name}.ipynb"
    with writing(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
    output_file.write(out, report.compose(raw, opened.pipeline, result, __version__))
    return out
