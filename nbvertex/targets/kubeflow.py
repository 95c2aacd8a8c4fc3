"""Kubeflow Pipelines: a pipeline of components, in one document, and the Python that compiles to it."""

from __future__ import annotations

from collections.abc import Mapping

from nbvertex import kfp_files, kfp_spec
from nbvertex.pipeline import Pipeline
from nbvertex.target import Settings

SUPPORTS = frozenset(
    "after cpu memory gpu image requires retries timeout cache in out when each metric".split()
)


def render(pipeline: Pipeline, settings: Settings) -> Mapping[str, str]:
    """The document, the source that compiles to it, and what an image would be made of.

    Args:
        pipeline: the pipeline.
        settings: how it is written.
    """
    spec = kfp_spec.make(pipeline, settings.bundle, settings.image, settings.name)
    return kfp_files.files(spec, settings, target="kubeflow")
