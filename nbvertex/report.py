"""The output notebook: the notebook as it was read, with the outputs of one run and where they are from."""

from __future__ import annotations

import contextlib
import copy
import html
import json
import math
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from nbvertex.errors import Place, StoreError, UsageError
from nbvertex.pipeline import Json, Pipeline

MARK = "nbvertex"  # the key of our metadata
STOPPED = "nbvertex-stopped"  # the tag of the cells that say where a run stopped
INJECTED = "injected-parameters"  # papermill's tag, so that its tools know the cell
NOTEBOOKS = ("", ".ipynb", ".json")


@dataclass(frozen=True, slots=True)
class CellReport:
    """What one cell did: its number, and its outputs as nbformat has them."""

    count: int | None = None
    outputs: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step did.

    Args:
        state: queued, running, done, cached, failed or skipped.
        started, ended: seconds since the epoch.
        run: the run that its outputs are from.
        attempt: the attempt they are from, counted from 1.
        cells: position -> what the cell did; a cell that is missing did not run.
    """

    state: str = "queued"
    started: float | None = None
    ended: float | None = None
    run: str | None = None
    attempt: int | None = None
    cells: Mapping[int, CellReport] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """What a run has to tell of a notebook, so far.

    Args:
        run: the run's id.
        state: running, done, failed or interrupted.
        values: the parameters that were given.
        steps: step name -> what it did; a step that is missing is queued.
        stopped: what went wrong, and where.
        version: nbvertex's.
    """

    run: str
    state: str = "running"
    values: Mapping[str, Json] = field(default_factory=dict)
    steps: Mapping[str, StepReport] = field(default_factory=dict)
    stopped: tuple[Place, str] | None = None
    version: str = ""


def compose(raw: Mapping[str, Any], pipeline: Pipeline, report: Report) -> dict[str, Any]:
    """The output notebook.

    Args:
        raw: the notebook in nbformat 4, which is not changed.
        pipeline: what was made of it.
        report: what the run did.
    """
    notebook: dict[str, Any] = {key: copy.deepcopy(value) for key, value in raw.items() if key != "cells"}
    metadata = notebook.setdefault("metadata", {})
    metadata.setdefault(
        "kernelspec", {"name": pipeline.kernel, "display_name": pipeline.kernel, "language": "python"}
    )
    metadata[MARK] = {
        "run": report.run,
        "state": report.state,
        "notebook": pipeline.notebook,
        "parameters": dict(report.values),
        "version": report.version,
    }
    step_of = {cell.position: step.name for step in pipeline.steps for cell in step.cells}
    injected = _injected(pipeline, report.values)
    stopped = report.stopped[0].cell if report.stopped else None
    cells = _marker(report, top=True)
    cells += [] if 0 not in injected else [injected[0]]
    for position, cell in enumerate(raw.get("cells", ()), 1):
        if not _ours(cell):
            cells += _marker(report, top=False) if position == stopped else []
            cells.append(_told(cell, position, step_of.get(position), report))
        cells += [injected[position]] if position in injected else []
    notebook["cells"] = _identified(cells, (notebook.get("nbformat"), notebook.get("nbformat_minor")))
    return notebook


def _ours(cell: Mapping[str, Any]) -> bool:
    """Whether an earlier report put the cell there."""
    return STOPPED in cell.get("metadata", {}).get("tags", ())


def _told(cell: Mapping[str, Any], position: int, step: str | None, report: Report) -> dict[str, Any]:
    """The cell with what it did in this run; what it did before is gone."""
    if cell.get("cell_type") != "code":
        return copy.deepcopy(dict(cell))
    told = {key: copy.deepcopy(value) for key, value in cell.items() if key != "outputs"}
    told["outputs"], told["execution_count"] = [], None
    metadata = told.setdefault("metadata", {})
    metadata.pop("execution", None)  # the times of another run
    metadata.pop("papermill", None)
    if step is None:
        metadata[MARK] = {"cell": position, "state": "skipped"}
        return told
    did = report.steps.get(step, StepReport())
    mark = {"cell": position, "step": step, "state": did.state}
    if did.started is not None:
        mark |= {
            "started": did.started,
            "ended": did.ended,
            "run": did.run or report.run,
            "attempt": did.attempt,
        }
    metadata[MARK] = mark
    if position in did.cells:
        told["outputs"] = [dict(output) for output in did.cells[position].outputs]
        told["execution_count"] = did.cells[position].count
    return told


def _injected(pipeline: Pipeline, values: Mapping[str, Json]) -> dict[int, dict[str, Any]]:
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


def literal(value: Json) -> str:
    """The value as Python source."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    return repr(value)


def _marker(report: Report, *, top: bool) -> list[dict[str, Any]]:
    """The cell that says what went wrong: at the top with a link, and before the cell where it happened."""
    if report.stopped is None:
        return []
    place, message = report.stopped
    where = str(Place(cell=place.cell, step=place.step, line=place.line)) or "the start"
    shown = html.escape(message)
    if top:
        link = f'<a href="#{STOPPED}">{html.escape(where)}</a>' if place.cell else html.escape(where)
        source = f'<p style="color:#b3261e"><b>Run {html.escape(report.run)} stopped at {link}.</b></p>\n<pre>{shown}</pre>'
    else:
        source = f'<p id="{STOPPED}" style="color:#b3261e"><b>The run stopped in the cell below.</b></p>'
    return [{"cell_type": "markdown", "metadata": {"tags": [STOPPED]}, "source": source}]


def _identified(cells: list[dict[str, Any]], version: tuple[Any, Any]) -> list[dict[str, Any]]:
    """The cells with an id for those that we made, where the format has ids."""
    if version < (4, 5):
        return cells
    taken = {cell["id"] for cell in cells if "id" in cell}
    made = 0
    for cell in cells:
        while "id" not in cell:
            made += 1
            if f"nbvertex-{made}" not in taken:
                cell["id"] = f"nbvertex-{made}"
    return cells


# --- to disk ------------------------------------------------------------------------------------------


def encode(notebook: Mapping[str, Any]) -> bytes:
    """The notebook as the bytes of a file, laid out as Jupyter does (one space, sorted keys, one line a line)."""
    shaped = {**notebook, "cells": [_lines(cell) for cell in notebook["cells"]]}
    try:
        data = msgspec.json.format(msgspec.json.encode(shaped, order="sorted"), indent=1)
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can write
        data = json.dumps(shaped, indent=1, sort_keys=True).encode()
    return data + b"\n"


def _lines(cell: Mapping[str, Any]) -> dict[str, Any]:
    shaped = {**cell, "source": _split(cell.get("source", ""))}
    if "outputs" in cell:
        shaped["outputs"] = [_output_lines(output) for output in cell["outputs"]]
    return shaped


def _output_lines(output: Mapping[str, Any]) -> dict[str, Any]:
    shaped = dict(output)
    if "text" in output:
        shaped["text"] = _split(output["text"])
    if "data" in output:
        data = output["data"].items()
        shaped["data"] = {mime: value if mime.endswith("json") else _split(value) for mime, value in data}
    return shaped


def _split(text: Any) -> Any:
    return text.splitlines(keepends=True) if isinstance(text, str) and "\n" in text else text


def check_place(out: Path, notebook: Path, *, overwrite: bool) -> None:
    """See to it that the output notebook can be written, before anything runs.

    Raises:
        UsageError: it cannot be written there, or would replace the notebook that is read.
    """
    if out.suffix not in NOTEBOOKS:
        raise UsageError(f"{out} is no name for a notebook", hint=f"call it {out.with_suffix('.ipynb').name}")
    if "://" in str(out) or ":/" in str(out):
        raise UsageError(f"{out} is not on this machine", hint="write it to a file and copy that")
    if out.is_dir():
        raise UsageError(
            f"{out} is a folder", hint=f"name a file: {out / notebook.with_suffix('.ipynb').name}"
        )
    if not overwrite and out.exists() and notebook.exists() and out.samefile(notebook):
        raise UsageError(
            f"{out} is the notebook itself, which the run would overwrite",
            hint="give the output another name, or say --overwrite",
        )
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {out.parent}", hint=f"mkdir -p {out.parent}")
    try:
        if _special(out):
            return
        with _beside(out):
            pass
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from error


def write(out: Path, notebook: Mapping[str, Any]) -> None:
    """Write the notebook so that a reader finds the old file or the new one, never a part.

    Raises:
        StoreError: the disk is full, or the folder can no longer be written.
    """
    data = encode(notebook)
    try:
        if _special(out):
            out.write_bytes(data)
            return
        with _beside(out) as (stream, temporary):
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
            temporary.replace(out.resolve())
    except OSError as error:
        raise StoreError(
            f"the output notebook {out} cannot be written: {error.strerror}",
            hint="the run itself is kept: see nbvertex runs list",
        ) from error


def _special(out: Path) -> bool:
    """Whether it is a device or a pipe, which cannot be replaced."""
    return out.exists() and not stat.S_ISREG(out.stat().st_mode)


@contextlib.contextmanager
def _beside(out: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file in the folder of ``out``, with its mode; gone afterwards unless it was moved."""
    target = out.resolve()
    temporary = target.with_name(f".{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as stream:
            if target.exists():
                os.fchmod(stream.fileno(), stat.S_IMODE(target.stat().st_mode))
            yield stream, temporary
    finally:
        temporary.unlink(missing_ok=True)
