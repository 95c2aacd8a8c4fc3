"""What a target is, where targets are found, and what of a notebook one of them cannot say.

`nbvertex submit` (`drafts`) reads of what a target renders: ``pipeline.yaml``, a KFP v2 document that becomes one pipeline
job; or ``jobs.json``, a list of custom jobs in the order in which they may begin, each ``{"steps": [names], "after": [numbers
of earlier jobs, from 1], "attempts": how often it may be created, "job": a CustomJob as its JSON}``. What a profile says is
put in where a job says nothing of it (``serviceAccount``, ``network``, ``encryptionSpec``), and every container finds
``NBVERTEX_ROOT`` (``gs://.../ID``, the submission's own folder) and ``NBVERTEX_PARAMETERS`` (the values given, as a JSON
object) in its environment; a step leaves its state in ``NBVERTEX_ROOT/STEP/state``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from nbvertex.bundle import Bundle
from nbvertex.config import Profile
from nbvertex.errors import Place, Problem, UsageError, nearest
from nbvertex.pipeline import Json, Pipeline, Step

GROUP = "nbvertex.targets"
WARNED = frozenset({"label", "annotation", "metric"})  # what is said beside the code: left out, and named


@dataclass(frozen=True, slots=True)
class Settings:
    """What a target is given beside the pipeline.

    Args:
        bundle: the steps as they travel.
        image: the container image; None: a plain one of Python, in which each step installs what it needs.
        profile: where it goes and as whom; what it does not say becomes a variable.
        name: what the pipeline is called there; empty: as here.
        document: the notebook itself, as JSON.
        values: of parameters, where they are known beforehand.
    """

    bundle: Bundle
    image: str | None = None
    profile: Profile = field(default_factory=Profile)
    name: str = ""
    document: str = ""
    values: Mapping[str, Json] = field(default_factory=dict)


class Target(Protocol):
    """A module that writes a pipeline down for an engine.

    ``SUPPORTS`` holds the options of a step that it can express, by the names that the user types.
    """

    SUPPORTS: frozenset[str]

    def render(self, pipeline: Pipeline, settings: Settings) -> Mapping[str, str]:
        """The files, by their path: text, the same for the same input, and nothing else is touched."""
        ...


def known(points: Callable[..., Mapping[str, EntryPoint]] | None = None) -> dict[str, EntryPoint]:
    """Every target that is installed, by name: those of this package like those of others."""
    found = entry_points(group=GROUP)
    return {point.name: point for point in sorted(found, key=lambda point: point.name)}


def find(name: str) -> Target:
    """The target of that name.

    Raises:
        UsageError: there is none, or it cannot be loaded.
    """
    targets = known()
    if name not in targets:
        near = nearest(name, targets)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(targets) or 'none'}"
        raise UsageError(f"there is no target {name!r}", hint=hint, code="unknown-target")
    try:
        target: Target = targets[name].load()
    except ImportError as error:
        raise UsageError(
            f"the target {name} cannot be loaded: {error}", hint="install what it needs", code="broken-target"
        ) from error
    if not (hasattr(target, "SUPPORTS") and callable(getattr(target, "render", None))):
        raise UsageError(
            f"{targets[name].value} is no target: it lacks SUPPORTS or render", code="broken-target"
        )
    return target


def unsupported(pipeline: Pipeline, target: str, supports: frozenset[str]) -> tuple[Problem, ...]:
    """What the steps ask for and a target cannot express, each with the step's first cell."""
    return tuple(
        Problem(
            "not-supported",
            f"`{option}` cannot be expressed for {target}" + (": it is left out" if option in WARNED else ""),
            Place(
                notebook=pipeline.notebook,
                cell=step.cells[0].position if step.cells else None,
                step=step.name,
            ),
            None
            if option in WARNED
            else f"take it off, or choose another target: {option} is known to {_others(option, target)}",
            "warning" if option in WARNED else "error",
        )
        for step in pipeline.steps
        for option in asked(step)
        if option not in supports
    )


def _others(option: str, target: str) -> str:
    names = []
    for name, point in known().items():
        if name != target and option in getattr(_loaded(point), "SUPPORTS", ()):
            names.append(name)
    return ", ".join(names) or "runs on this machine only"


def _loaded(point: EntryPoint) -> object:
    try:
        return point.load()
    except ImportError:
        return None  # it is only asked for a hint


def asked(step: Step) -> Iterator[str]:
    """The options that a step uses, as the user types them."""
    options, resources = step.options, step.resources
    said = {
        "machine": resources.machine, "cpu": resources.cpu, "memory": resources.memory, "gpu": resources.gpu,
        "disk": resources.disk, "replicas": (resources.replicas or 1) > 1, "spot": resources.spot,
        "image": resources.image, "runs-on": resources.runs_on, "service-account": resources.service_account,
        "after": options.after, "retries": options.retries, "timeout": options.timeout,
        "cache": options.cache is True, "secret": options.secrets, "requires": options.requires,
        "in": options.inputs, "out": options.outputs, "when": options.when, "each": options.each,
        "metric": options.metrics, "label": options.labels, "annotation": options.annotations,
    }  # fmt: skip
    return (name for name, value in said.items() if value)
