"""Vertex AI Pipelines: a pipeline of components in one document, the Python that compiles to it, and how it is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from nbvertex import kfp_files, kfp_spec, machines, templating
from nbvertex.errors import Place, Problem, ProblemsFound
from nbvertex.pipeline import Pipeline
from nbvertex.target import Settings

SUPPORTS = frozenset(
    "after cpu memory gpu image requires retries timeout cache in out secret when each metric".split()
)


def render(pipeline: Pipeline, settings: Settings) -> Mapping[str, str]:
    """The pipeline's document, the source that compiles to it, a script that submits it, what an image would be made of.

    Args:
        pipeline: the pipeline.
        settings: how it is written.

    Raises:
        ProblemsFound: a step wants a GPU that the service does not have.
    """
    _check(pipeline)
    spec = kfp_spec.make(pipeline, settings.bundle, settings.image, settings.name)
    values = {
        **asdict(settings.profile),
        "head": f"Written by nbvertex from {pipeline.notebook} for vertex-pipeline.",
        "name": spec.name,
        "label": spec.name[:63].rstrip("-"),
    }
    return {
        **kfp_files.files(spec, settings, target="vertex-pipeline"),
        "submit.py": templating.render("vertex_pipeline/submit.py.jinja", values),
    }


def _check(pipeline: Pipeline) -> None:
    problems = []
    for step in pipeline.steps:
        gpu = step.resources.gpu
        if gpu is None or machines.gpu_type(gpu.partition(":")[0]):
            continue
        said = "has no type" if gpu.isdecimal() else "is no type of GPU that Vertex AI has"
        place = Place(notebook=pipeline.notebook, cell=step.cells[0].position, step=step.name)
        hint = (
            f"for instance nvidia-l4:{gpu}"
            if gpu.isdecimal()
            else f"known: {', '.join(sorted(machines.GPUS))}"
        )
        problems.append(Problem("unknown-gpu", f"`gpu:{gpu}` {said}", place, hint))
    if problems:
        raise ProblemsFound(problems)
