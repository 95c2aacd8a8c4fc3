"""The whole notebook as one execution of Vertex AI's notebooks: it runs straight, values set before it is uploaded."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nbvertex import machines, output_file, report
from nbvertex.errors import Place, Problem, ProblemsFound
from nbvertex.machines import Machine, NoMachine
from nbvertex.pipeline import Cell, Pipeline, Step
from nbvertex.target import Settings

SUPPORTS = frozenset("after machine cpu memory gpu disk timeout service-account out".split())
_OURS = re.compile(r"^[ \t]*%(load_ext[ \t]+nbvertex\b.*|nbvertex\b.*)$", re.MULTILINE)
_DISK = 100  # GB, where no step says more
_ONE: tuple[tuple[str, Callable[[Step], object]], ...] = (
    ("machine", lambda step: step.resources.machine),
    ("cpu", lambda step: step.resources.cpu),
    ("memory", lambda step: step.resources.memory),
    ("gpu", lambda step: step.resources.gpu),
    ("service-account", lambda step: step.resources.service_account),
)


def render(pipeline: Pipeline, settings: Settings) -> Mapping[str, str]:
    """The notebook as it is uploaded, and the job that runs it.

    Args:
        pipeline: the pipeline.
        settings: with the notebook and the values of its parameters.

    Raises:
        ProblemsFound: steps want different machines, or modules lie beside the notebook: only the notebook is uploaded.
    """
    problems = [*_disagreeing(pipeline), *_beside(pipeline, settings)]
    if problems:
        raise ProblemsFound(problems)
    document = _document(pipeline, json.loads(settings.document), settings.values)
    return {
        "notebook.ipynb": output_file.encode(document).decode("utf-8"),
        "notebook_job.json": json.dumps(_job(pipeline, settings), indent=1, ensure_ascii=False) + "\n",
    }


def _disagreeing(pipeline: Pipeline) -> Iterator[Problem]:
    """One machine and one identity run all cells."""
    for name, said in _ONE:
        asked = {said(step): step for step in pipeline.steps if said(step) is not None}
        for step in list(asked.values())[1:]:
            yield Problem(
                "two-machines",
                f"the whole notebook runs on one machine, and `{name}` is said twice: {', '.join(map(str, asked))}",
                Place(notebook=pipeline.notebook, cell=step.cells[0].position, step=step.name),
                "say it once, or choose vertex-pipeline or vertex-job",
            )
    try:
        _machine(pipeline)
    except NoMachine as error:
        place = Place(notebook=pipeline.notebook)
        yield Problem("unknown-machine", f"the machine that the steps ask for {error}", place)


def _beside(pipeline: Pipeline, settings: Settings) -> Iterator[Problem]:
    if settings.bundle.beside:
        yield Problem(
            "beside",
            f"only the notebook itself is uploaded, and {', '.join(settings.bundle.beside)} would be missing there",
            Place(notebook=pipeline.notebook),
            "choose vertex-pipeline or vertex-job, which take it along",
        )


def _machine(pipeline: Pipeline) -> Machine:
    asked = {name: next((said(s) for s in pipeline.steps if said(s)), None) for name, said in _ONE}
    kind, _, count = str(asked["gpu"] or "").partition(":")
    gpu = machines.gpu_type(kind) if kind else None
    if kind and gpu is None:
        raise NoMachine(f"has a GPU that Vertex AI has not: {asked['gpu']}")
    return machines.choose(
        str(asked["machine"]) if asked["machine"] else None,
        machines.cpus(str(asked["cpu"])) if asked["cpu"] else None,
        machines.gigabytes(str(asked["memory"])) if asked["memory"] else None,
        gpu,
        int(count or 1) if gpu else 0,
    )


def _document(pipeline: Pipeline, raw: dict[str, Any], values: Mapping[str, object]) -> dict[str, Any]:
    """The notebook without skipped cells, outputs and our own lines, the values after the cells that declare them."""
    run = {cell.position: cell for step in pipeline.steps for cell in step.cells}
    injected = report.injected(pipeline, values)
    cells = [injected[0]] if 0 in injected else []
    for position, cell in enumerate(raw["cells"], 1):
        if cell["cell_type"] != "code":
            cells.append(cell)
        elif position in run:
            cells.append({**cell, "source": _source(run[position]), "outputs": [], "execution_count": None})
        if position in injected:
            cells.append(injected[position])
    return {**raw, "cells": cells}


def _source(cell: Cell) -> str:
    return _OURS.sub("pass", cell.source)


def _job(pipeline: Pipeline, settings: Settings) -> dict[str, Any]:
    """A NotebookExecutionJob; its notebook is put in where it is submitted, or named by its place in a bucket."""
    machine, profile = _machine(pipeline), settings.profile
    on: dict[str, Any] = {"machineType": machine.name}
    if machine.gpu is not None:
        on |= {"acceleratorType": machine.gpu, "acceleratorCount": machine.count}
    sizes = [machines.gigabytes(step.resources.disk) for step in pipeline.steps if step.resources.disk]
    times = [step.options.timeout for step in pipeline.steps if step.options.timeout]
    account = next((s.resources.service_account for s in pipeline.steps if s.resources.service_account), None)
    said: dict[str, Any] = {
        "displayName": settings.name or pipeline.name,
        "gcsNotebookSource": {"uri": f"{profile.bucket or '$BUCKET'}/nbvertex/{pipeline.name}.ipynb"},
        "gcsOutputUri": f"{profile.bucket or '$BUCKET'}/nbvertex/notebooks",
        "customEnvironmentSpec": {
            "machineSpec": on,
            "persistentDiskSpec": {
                "diskType": "pd-ssd",
                "diskSizeGb": str(math.ceil(max([_DISK, *sizes]))),
            },
            "networkSpec": {"enableInternetAccess": True},
        },
        "serviceAccount": account or profile.service_account or "$SERVICE_ACCOUNT",
        "kernelName": pipeline.kernel,
        "labels": {"nbvertex": re.sub(r"[^a-z0-9_-]", "-", pipeline.name.lower())[:63]},
    }
    if profile.network:
        said["customEnvironmentSpec"]["networkSpec"]["network"] = profile.network
    if profile.kms_key:
        said["encryptionSpec"] = {"kmsKeyName": profile.kms_key}
    if times:
        said["executionTimeout"] = f"{math.ceil(sum(times))}s"
    return said
