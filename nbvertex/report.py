"""The output notebook: the notebook as it was read, with the outputs of one run and where they are from."""

from __future__ import annotations

import copy
import html
import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nbvertex import grammar
from nbvertex.errors import Place, visible
from nbvertex.events import (
    CellEnded,
    CellOutput,
    CellResult,
    CellStarted,
    Output,
    RunEnded,
    RunEvent,
    RunResult,
    RunStarted,
    RunState,
    StepChanged,
    StepResult,
    StepState,
)
from nbvertex.pipeline import Pipeline
from nbvertex.runtime.headings import joined
from nbvertex.runtime.outputs import Outputs

MARK = "nbvertex"  # the key of our metadata
WITH_IDS = (4, 5)  # the first nbformat whose cells have ids
STOPPED = "nbvertex-stopped"  # the tag of the cells that say where a run stopped
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
INJECTED = "injected-parameters"  # papermill's tag, so that its tools know the cell


class Follower:
    """Makes of a run's events the result so far, for an output notebook of a run that goes on or was cut short.

    Args:
        parameters: the values that were given.
    """

    def __init__(self, parameters: Mapping[str, object]) -> None:
        self._parameters = parameters
        self._run = ""
        self._state: RunState = "running"
        self._started = self._ended = 0.0
        self._steps: dict[str, StepResult] = {}
        self._cells: dict[str, dict[int, CellResult]] = {}
        self._outputs: dict[tuple[str, int], dict[int, Outputs]] = {}  # by round; 0: there are none
        self._items: dict[tuple[str, int], str] = {}  # what each round runs on

    def __call__(self, event: RunEvent) -> None:
        match event:
            case RunStarted():
                self._run, self._started = event.run, event.at
                self._steps = {name: StepResult(name=name) for name in event.steps}
            case RunEnded():
                self._state, self._ended = event.state, event.at
            case StepChanged():
                self._changed(event)
            case CellStarted():
                self._cell(event.step, event.position, state=event.state, started=event.at)
            case CellOutput():
                rounds = self._outputs.setdefault((event.step, event.position), {})
                _show(rounds.setdefault(event.round or 0, Outputs(sys.maxsize)), event.output)
            case CellEnded():
                self._cell(event.step, event.position, state=event.state, ended=event.at, count=event.count)

    def result(self) -> RunResult:
        """What the run has done so far; when it has ended, what was still running has failed."""
        return RunResult(
            run=self._run,
            state=self._state,
            started=self._started,
            ended=self._ended or self._started,
            parameters=self._parameters,
            steps={
                name: replace(step, state=self._final(step.state), cells=self._seen(name))
                for name, step in self._steps.items()
            },
        )

    def shown(self, step: str, position: int) -> tuple[Output, ...]:
        """What a cell has shown so far; in rounds, under a heading for each."""
        rounds = self._outputs.get((step, position), {})
        if 0 in rounds:
            return rounds[0].final()
        return joined(
            (number, self._items.get((step, number), ""), rounds[number].final()) for number in sorted(rounds)
        )

    def _final(self, state: StepState) -> StepState:
        return "failed" if state == "running" and self._state != "running" else state

    def _seen(self, step: str) -> dict[int, CellResult]:
        seen = {}
        for position, cell in self._cells.get(step, {}).items():
            seen[position] = replace(cell, state=self._final(cell.state), outputs=self.shown(step, position))
        return seen

    def _changed(self, event: StepChanged) -> None:
        if event.round is not None:
            self._round_changed(event, event.round)
            return
        step = replace(self._steps[event.step], state=event.state, attempt=event.attempt, source=event.source)
        if event.state == "running":
            step = replace(step, started=event.at, ended=None)
            for position in self._cells.pop(event.step, {}):
                self._outputs.pop((event.step, position), None)
        elif event.state in ("done", "failed", "cached", "skipped"):
            step = replace(step, ended=event.at, why=event.error or event.why)
        self._steps[event.step] = step

    def _round_changed(self, event: StepChanged, number: int) -> None:
        self._items[event.step, number] = event.item or ""
        if event.state == "running":  # what an earlier attempt has shown is gone
            for (step, _), rounds in self._outputs.items():
                if step == event.step:
                    rounds.pop(number, None)

    def _cell(self, step: str, position: int, **changes: Any) -> None:
        cells = self._cells.setdefault(step, {})
        cells[position] = replace(cells.get(position, replace(_NO_CELL, position=position)), **changes)


_NO_CELL = CellResult(position=0, state="running")


def _show(shown: Outputs, output: Output) -> None:
    """What a front end does with an output that comes while the cell runs."""
    kind = output["output_type"]
    if kind == "clear_output":
        shown.clear(bool(output.get("wait")))
    elif kind == "stream":
        shown.text(output["name"], str(output["text"]).encode("utf-8", "replace"))
    elif kind != "update_display_data":  # the content that it changes comes when the cell has ended
        shown.add({key: value for key, value in output.items() if key != "transient"})


def compose(raw: Mapping[str, Any], pipeline: Pipeline, result: RunResult, version: str) -> dict[str, Any]:
    """The output notebook.

    Args:
        raw: the notebook in nbformat 4, which is not changed.
        pipeline: what was made of it.
        result: what the run did.
        version: nbvertex's.
    """
    notebook: dict[str, Any] = {key: copy.deepcopy(value) for key, value in raw.items() if key != "cells"}
    metadata = notebook.setdefault("metadata", {})
    metadata.setdefault(
        "kernelspec", {"name": pipeline.kernel, "display_name": pipeline.kernel, "language": "python"}
    )
    metadata[MARK] = {
        "run": result.run,
        "state": result.state,
        "started": result.started,
        "ended": result.ended,
        "notebook": pipeline.notebook,
        "parameters": dict(result.parameters),
        "version": version,
    }
    widgets = widget_state(result)
    if widgets:
        metadata["widgets"] = {WIDGET_STATE: widgets}
    step_of = {cell.position: step.name for step in pipeline.steps for cell in step.cells}
    given = injected(pipeline, result.parameters)
    stopped = result.error.place.cell if result.error else None
    cells = [_banner(result)] if result.error else []
    cells += [given[0]] if 0 in given else []
    for position, cell in enumerate(raw.get("cells", ()), 1):
        if not _ours(cell):
            cells += [_flag()] if position == stopped else []
            cells.append(_told(cell, position, step_of.get(position), result))
        cells += [given[position]] if position in given else []
    notebook["cells"] = cells
    _identify(notebook)
    return notebook


def widget_state(result: RunResult) -> dict[str, Any]:
    """The widgets of all steps as a notebook's metadata keeps them; empty where there are none."""
    models = {model: state for step in result.steps.values() for model, state in step.widgets.items()}
    return {"state": models, "version_major": 2, "version_minor": 0} if models else {}


def _ours(cell: Mapping[str, Any]) -> bool:
    """Whether an earlier report put the cell there."""
    tags = cell["metadata"].get("tags")
    return isinstance(tags, list) and STOPPED in tags


def _told(cell: Mapping[str, Any], position: int, step: str | None, result: RunResult) -> dict[str, Any]:
    """The cell with what it did in this run; what it did before is gone."""
    if cell.get("cell_type") != "code":
        return copy.deepcopy(dict(cell))
    told = {key: copy.deepcopy(value) for key, value in cell.items() if key != "outputs"}
    told["outputs"], told["execution_count"] = [], None
    metadata = told.setdefault("metadata", {})
    metadata.pop("execution", None)  # the times of another run
    metadata.pop("papermill", None)
    if "tags" in metadata:
        metadata["tags"] = _portable(metadata["tags"])
    if step is None:
        metadata[MARK] = {"cell": position, "state": "skipped"}
        return told
    did = result.steps.get(step, StepResult(name=step))
    cell_did = did.cells.get(position, CellResult(position=position, state=did.state))
    state = did.state if did.state == "cached" else cell_did.state
    metadata[MARK] = {"cell": position, "step": step, "state": state}
    if state == "skipped" and did.why is not None:
        metadata[MARK]["why"] = did.why
    if did.rounds:
        metadata[MARK]["rounds"] = [
            {"round": one.round, "item": one.item, "state": one.state, "run": one.source or result.run}
            for one in did.rounds
        ]
    if cell_did.started is not None:
        run = did.source or result.run
        times = {"started": cell_did.started, "ended": cell_did.ended}
        metadata[MARK] |= {**times, "run": run, "attempt": did.attempt}
    told["outputs"] = [dict(output) for output in cell_did.outputs]
    told["execution_count"] = cell_did.count
    return told


def _portable(tags: Any) -> Any:
    """Tags without commas, which the rules of nbformat do not let through."""
    if not isinstance(tags, list):
        return tags
    found = []
    for tag in tags:
        key, colon, rest = tag.partition(":") if isinstance(tag, str) else ("", "", "")
        ours = key.strip() in ("when", "each") and "," in rest
        found.append(f"{key}{colon}{grammar.portable(rest)}" if ours else tag)
    return found


def injected(pipeline: Pipeline, values: Mapping[str, object]) -> dict[int, dict[str, Any]]:
    """Position -> the cell that shows the values given for the parameters declared there."""
    declared = {p.name: p.cell or pipeline.parameters_cell for p in pipeline.parameters}
    lines: dict[int, list[str]] = {}
    for name, value in values.items():
        lines.setdefault(declared.get(name, pipeline.parameters_cell), ["# Parameters"]).append(
            f"{name} = {literal(value)}"
        )
    return {
        position: {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {"tags": [INJECTED], MARK: {"state": "done", "step": pipeline.parameters_step}},
            "outputs": [],
            "source": "\n".join(source),
        }
        for position, source in lines.items()
    }


def literal(value: object) -> str:
    """The value as Python source."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    return repr(value)


def _banner(result: RunResult) -> dict[str, Any]:
    """The cell at the top that says what went wrong, with a link to where."""
    error = result.error
    assert error is not None
    place = error.place
    where = html.escape(str(Place(cell=place.cell, step=place.step, line=place.line)))
    where = f' at <a href="#{STOPPED}">{where}</a>' if place.cell else f" at {where}" if where else ""
    return _markdown(
        f'<p style="color:#b3261e"><b>Run {html.escape(result.run)} stopped{where}.</b></p>\n'
        f"<pre>{html.escape(visible(error.message))}</pre>"
    )


def _flag() -> dict[str, Any]:
    """The cell before the one that failed, which the link at the top leads to."""
    return _markdown(f'<p id="{STOPPED}" style="color:#b3261e"><b>The run stopped in the cell below.</b></p>')


def _markdown(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {"tags": [STOPPED]}, "source": source}


def _identify(notebook: dict[str, Any]) -> None:
    """Give each cell an id where the format has ids; some editors write them into notebooks of an older one."""
    cells = notebook["cells"]
    taken = {cell["id"] for cell in cells if "id" in cell}
    minor = notebook.setdefault("nbformat_minor", 0)
    if (notebook["nbformat"], minor) < WITH_IDS:
        if not taken:
            return
        notebook["nbformat"], notebook["nbformat_minor"] = WITH_IDS
    made = 0
    for cell in cells:
        while "id" not in cell:
            made += 1
            if f"nbvertex-{made}" not in taken:
                cell["id"] = f"nbvertex-{made}"


def traceback_of(result: RunResult) -> tuple[str, ...]:
    """The traceback of the cell that stopped a run, as lines; none where no cell did."""
    error = result.error
    step = result.steps.get(error.place.step or "") if error else None
    cell = step.cells.get(error.place.cell or 0) if error and step else None
    for output in cell.outputs if cell else ():
        if output.get("output_type") == "error":
            return tuple("\n".join(output.get("traceback", ())).splitlines())
    return ()
