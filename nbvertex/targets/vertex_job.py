"""Custom jobs of Vertex AI: one for the whole pipeline on one machine, or one for each step where the steps want different ones."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from nbvertex import boot, container_files, machines
from nbvertex.bundle import Bundle
from nbvertex.errors import Place, Problem, ProblemsFound
from nbvertex.machines import Machine, NoMachine
from nbvertex.pipeline import Pipeline, Step
from nbvertex.runtime import orders
from nbvertex.target import Settings
from nbvertex.travel import Traveller

SUPPORTS = frozenset(
    "after machine cpu memory gpu disk replicas spot image requires retries timeout service-account in out secret when each metric".split()
)
_DISK = 100  # GB, where a step says nothing
_MOST = 1_500_000  # characters of all arguments: a system takes 2 MB


def render(pipeline: Pipeline, settings: Settings) -> Mapping[str, str]:
    """The jobs in the order in which they may begin, and what an image would be made of.

    Args:
        pipeline: the pipeline.
        settings: how it is written.

    Raises:
        ProblemsFound: Vertex AI has no such machine, or a step is too big for the words of a command line.
    """
    bundle = settings.bundle
    wanted = _machines(pipeline)
    apart = len({_place(step, wanted[step.name]) for step in pipeline.steps}) > 1
    groups = [(one,) for one in bundle.steps] if apart else [bundle.steps]
    jobs = [_job(pipeline, settings, group, wanted[group[0].step.name], whole=not apart) for group in groups]
    _check(pipeline, jobs)
    more = container_files.files(bundle) if settings.image is None else {}
    return {"jobs.json": json.dumps(jobs, indent=1, ensure_ascii=False) + "\n", **more}


def _machines(pipeline: Pipeline) -> dict[str, Machine]:
    found: dict[str, Machine] = {}
    problems = []
    for step in pipeline.steps:
        place = Place(notebook=pipeline.notebook, cell=step.cells[0].position, step=step.name)
        try:
            found[step.name] = _machine(step)
        except NoMachine as error:
            asked = step.resources
            said = (
                ("machine", asked.machine),
                ("cpu", asked.cpu),
                ("memory", asked.memory),
                ("gpu", asked.gpu),
            )
            told = ", ".join(f"`{name}:{value}`" for name, value in said if value)
            problems.append(Problem("unknown-machine", f"{told} {error}", place))
    if problems:
        raise ProblemsFound(problems)
    return found


def _machine(step: Step) -> Machine:
    asked = step.resources
    kind, _, number = (asked.gpu or "").partition(":")
    gpu = machines.gpu_type(kind) if kind else None
    if kind.isdecimal():
        raise NoMachine("has no type; for instance nvidia-l4:1")
    if kind and gpu is None:
        raise NoMachine(f"is no type of GPU that Vertex AI has: {', '.join(sorted(machines.GPUS))}")
    return machines.choose(
        asked.machine,
        machines.cpus(asked.cpu) if asked.cpu else None,
        machines.gigabytes(asked.memory) if asked.memory else None,
        gpu,
        int(number or 1) if gpu else 0,
    )


def _place(step: Step, machine: Machine) -> tuple[object, ...]:
    """On what, and as whom, a step runs."""
    asked = step.resources
    return machine, asked.disk, asked.replicas or 1, asked.spot, asked.image, asked.service_account


def _job(
    pipeline: Pipeline, settings: Settings, group: tuple[Traveller, ...], machine: Machine, *, whole: bool
) -> dict[str, Any]:
    """One job, with all that `nbvertex submit` wants to know of it."""
    first = group[0].step
    said: dict[str, Any] = {
        "steps": [one.step.name for one in group],
        "job": {
            "displayName": pipeline.name if whole else f"{pipeline.name}-{first.name}",
            "jobSpec": _spec(settings, group, machine, whole=whole),
        },
    }
    if not whole:
        said["after"] = [place + 1 for place in group[0].before.direct]
        said["attempts"] = first.options.retries + 1
    return said


def _spec(
    settings: Settings, group: tuple[Traveller, ...], machine: Machine, *, whole: bool
) -> dict[str, Any]:
    bundle, asked = settings.bundle, group[0].step.resources
    on: dict[str, Any] = {"machineType": machine.name}
    if machine.gpu is not None:
        on |= {"acceleratorType": machine.gpu, "acceleratorCount": machine.count}
    size = math.ceil(machines.gigabytes(asked.disk)) if asked.disk else _DISK
    pool = {
        "machineSpec": on,
        "replicaCount": "1",
        "diskSpec": {"bootDiskType": "pd-ssd", "bootDiskSizeGb": max(size, _DISK)},
        "containerSpec": {
            "imageUri": asked.image or settings.image or f"python:{bundle.python}",
            "command": ["python3", "-c", boot.BOOT],
            "args": [
                bundle.digest,
                *boot.pieces(bundle.kit),
                "--",
                "job",
                *_words(bundle, group, settings.image, whole=whole),
            ],
        },
    }
    further = (asked.replicas or 1) - 1
    said: dict[str, Any] = {
        "workerPoolSpecs": [pool, {**pool, "replicaCount": str(further)}] if further else [pool]
    }
    if asked.spot:
        said["scheduling"] = {"strategy": "SPOT"}
    if asked.service_account is not None:
        said["serviceAccount"] = asked.service_account
    return said


def _words(bundle: Bundle, group: tuple[Traveller, ...], image: str | None, *, whole: bool) -> list[str]:
    """The steps of a job as `runtime.whole` reads them."""
    said = [
        {
            "step": one.step.name,
            "before": [bundle.pipeline.steps[place].name for place in one.before.all],
            "retries": one.step.options.retries if whole else 0,
            "parts": [
                {
                    "role": part.role,
                    "said": {**part.said, "exact": True},
                    "items": list(part.items),
                    "texts": list(part.texts),
                }
                for part in one.on(image)
            ],
        }
        for one in group
    ]
    return orders.worded(orders.as_json(said))


def _check(pipeline: Pipeline, jobs: list[dict[str, Any]]) -> None:
    problems = [
        Problem(
            "too-big",
            f"what the job of step {job['steps'][0]} is sent takes {size / 1e6:.1f} MB, and a container is started with "
            "1.5 MB at most",
            Place(notebook=pipeline.notebook, step=job["steps"][0]),
            "put large files into a bucket, and read them from there",
        )
        for job in jobs
        if (size := sum(map(len, _arguments(job)))) > _MOST
    ]
    if problems:
        raise ProblemsFound(problems)


def _arguments(job: Mapping[str, Any]) -> Iterator[str]:
    for pool in job["job"]["jobSpec"]["workerPoolSpecs"][:1]:
        yield from pool["containerSpec"]["args"]
