"""A pipeline as the document that Vertex AI Pipelines and Kubeflow Pipelines read (KFP v2 IR), written without their client."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nbvertex import boot, cache, kfp_names, kfp_types, machines
from nbvertex.bundle import Bundle
from nbvertex.kfp_names import Names
from nbvertex.pipeline import Json, Parameter, Pipeline, Step
from nbvertex.runtime import executor, orders
from nbvertex.travel import Part, Role, Traveller, has_default

SDK = "kfp-2.14.0"  # whose documents these are like
_VERSION = "0.0.1"
_TYPES = {
    "int": "NUMBER_INTEGER",
    "float": "NUMBER_DOUBLE",
    "bool": "BOOLEAN",
    "str": "STRING",
    "list": "LIST",
    "dict": "STRUCT",
}


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a step as a component.

    Args:
        traveller, part: the step, and what this does for it.
        names: what it is called.
        before: name of an input artifact -> the step that leaves it, all that it comes after.
        inputs: name of a parameter of the notebook -> what the component calls it.
        outputs: name of an output artifact -> its type.
        kit: the words that carry the runtime, or say where an earlier step has left it.
        said: the order as JSON.
        words: its cells.
        image: its container image.
        cached: its result may be taken from an earlier run.
    """

    traveller: Traveller
    part: Part
    names: Names
    before: Mapping[str, str]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    kit: tuple[str, ...]
    said: str
    words: tuple[str, ...]
    image: str
    cached: bool

    @property
    def step(self) -> Step:
        return self.traveller.step

    @property
    def answers(self) -> dict[str, str]:
        """Name of an output parameter -> its type."""
        holds = {executor.HOLDS: "BOOLEAN"} if self.part.role == "decide" else {}
        lists = self.part.role == "list" or "then" in self.part.said.get("task", {})
        return {**holds, executor.ITEMS: "LIST"} if lists else holds

    @property
    def shown(self) -> str:
        """What users see it called."""
        shown = self.step.title or self.step.name
        return shown if self.part.role in ("run", "round") else f"{shown} {_SHOWN[self.part.role]}"


_SHOWN = {"decide": "when", "skip": "skipped", "list": "items", "gather": "lists"}


@dataclass(frozen=True, slots=True)
class Spec:
    """A pipeline as components.

    Args:
        name: what it is called there.
        pipeline: the pipeline.
        digest: of the runtime.
        steps: name of a step -> its components by role, in notebook order.
        kit: the runtime as lines of text.
    """

    name: str
    pipeline: Pipeline
    digest: str
    steps: Mapping[str, Mapping[Role, Component]]
    kit: tuple[str, ...] = ()

    @property
    def components(self) -> list[Component]:
        """All of them, in notebook order."""
        return [one for parts in self.steps.values() for one in parts.values()]


def pipeline_name(text: str) -> str:
    """A name as both services take it."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:100].strip("-") or "notebook"
    return name if name[0].isalpha() else f"notebook-{name}"


def make(pipeline: Pipeline, bundle: Bundle, image: str | None, name: str) -> Spec:
    """A pipeline as components.

    Args:
        pipeline: the pipeline.
        bundle: its steps as they travel.
        image: their container image, where a step names none; None: a plain one of Python.
        name: what it is called there; empty: as here.
    """
    called = pipeline_name(name or pipeline.name)
    taken = [called.replace("-", "_"), *(one.name for one in pipeline.parameters)]
    names = kfp_names.parts(bundle.steps, taken)
    kit = boot.pieces(bundle.kit)
    making = _Making(bundle, names, kfp_types.kinds(pipeline), kit, image or f"python:{bundle.python}")
    steps = {
        one.step.name: {part.role: making.component(one, part) for part in one.on(image)}
        for one in bundle.steps
    }
    return Spec(called, pipeline, bundle.digest, steps, kit)


@dataclass(frozen=True, slots=True)
class _Making:
    """What all components are made of; see `make`."""

    bundle: Bundle
    names: Mapping[tuple[str, Role], Names]
    kinds: Mapping[str, kfp_types.Kind]
    kit: tuple[str, ...]
    image: str

    def component(self, one: Traveller, part: Part) -> Component:
        """A part of a step as a component."""
        before = {f"{executor.BEFORE}{self._function(place)}": self._name(place) for place in one.before.all}
        runs = part.role in ("run", "round")
        inputs = kfp_names.inputs(one, before) if runs else {}
        first = next(iter(before), None)
        said = dict(part.said)
        if inputs:
            said["parameters"] = [_renamed(said, inputs) for said in part.said["parameters"]]
        return Component(
            traveller=one,
            part=part,
            names=self.names[one.step.name, part.role],
            before=before,
            inputs=inputs,
            outputs=self._outputs(one, part),
            kit=self.kit if first is None else (f"{path_of('inputs', first)}/{executor.KIT}",),
            said=orders.as_json(said),
            words=tuple(word for text in part.texts for word in orders.worded(text)),
            image=one.step.resources.image or self.image,
            cached=_cached(one.step),
        )

    def _name(self, place: int) -> str:
        return self.bundle.pipeline.steps[place].name

    def _function(self, place: int) -> str:
        roles: tuple[Role, ...] = ("run", "round")
        return next(
            self.names[self._name(place), r].function for r in roles if (self._name(place), r) in self.names
        )

    def _outputs(self, one: Traveller, part: Part) -> dict[str, str]:
        outputs = {executor.STATE: "Artifact"}
        if part.role in ("run", "round", "gather"):
            outputs[executor.PAGE] = "HTML"
        if part.role in ("run", "round") and one.measures:
            outputs[executor.METRICS] = "Metrics"
        if part.role == "run":
            outputs |= {f"value_{name}": self.kinds.get(name, "Artifact") for name in one.values}
        if part.role == "gather":
            outputs |= {f"value_{name}": "Artifact" for name in one.values}
        return outputs


def _renamed(said: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, Any]:
    given = inputs[said["name"]]
    return {**said, "given": given} if given != said["name"] else dict(said)


def _cached(step: Step) -> bool:
    """Whether a result of the same code and inputs may be taken from an earlier run."""
    if step.options.cache is None and "random" in step.facts.outside:
        return False
    return cache.never(step) is None


def path_of(side: str, artifact: str) -> str:
    """The placeholder of an artifact's path."""
    return "{{$." + f"{side}.artifacts['{artifact}'].path" + "}}"


def arguments(spec: Spec, component: Component) -> list[str]:
    """What the component's container is started with."""
    return [
        spec.digest,
        *component.kit,
        "--",
        "task",
        "{{$}}",
        path_of("outputs", executor.STATE),
        component.said,
        *component.words,
    ]


# --- the document -----------------------------------------------------------------------------------------


def description(spec: Spec) -> str:
    """What is said of the pipeline."""
    return spec.pipeline.description.strip() or f"The steps of {spec.pipeline.notebook}"


def parameter_type(parameter: Parameter) -> str:
    """The type of a parameter there; one of no declared type is a text, read as papermill reads it."""
    return _TYPES.get(parameter.kind, "STRING")


def default_of(parameter: Parameter) -> Json:
    """Its default there; None where there is none: its cell says it then."""
    if not has_default(parameter) or parameter.default is None:
        return None
    if parameter.kind in _TYPES:
        return parameter.default
    return str(parameter.default) if isinstance(parameter.default, str | int | float | bool) else None


def parameter_input(parameter: Parameter) -> dict[str, Any]:
    """A parameter of the pipeline."""
    said: dict[str, Any] = {"parameterType": parameter_type(parameter), "isOptional": True}
    default = default_of(parameter)
    if default is not None:
        said["defaultValue"] = default
    return said


def schema(kind: str) -> dict[str, Any]:
    """The type of an artifact."""
    return {"artifactType": {"schemaTitle": f"system.{kind}", "schemaVersion": _VERSION}}


def definition(component: Component) -> dict[str, Any]:
    """A component: what goes in and out."""
    artifacts = {name: schema("Artifact") for name in component.before}
    if component.part.role == "gather":
        artifacts[executor.ROUNDS] = {**schema("Artifact"), "isArtifactList": True}
    parameters = {
        component.inputs[one.name]: {"parameterType": parameter_type(one), "isOptional": True}
        for one in (component.traveller.parameters if component.inputs else ())
    }
    if component.part.role == "round":
        parameters[executor.ITEM] = {"parameterType": "STRING"}
    said: dict[str, Any] = {"executorLabel": f"exec-{component.names.task}"}
    inputs = {"artifacts": artifacts, "parameters": parameters}
    if artifacts or parameters:
        said["inputDefinitions"] = {key: value for key, value in inputs.items() if value}
    said["outputDefinitions"] = {
        "artifacts": {name: schema(kind) for name, kind in component.outputs.items()}
    }
    if component.answers:
        said["outputDefinitions"]["parameters"] = {
            name: {"parameterType": kind} for name, kind in component.answers.items()
        }
    return said


def container(spec: Spec, component: Component) -> dict[str, Any]:
    """What a component runs, and on what."""
    said: dict[str, Any] = {
        "image": component.image,
        "command": ["python3", "-c", boot.BOOT],
        "args": arguments(spec, component),
    }
    resources = dict(_resources(component.step)) if component.part.role in ("run", "round") else {}
    return {**said, "resources": resources} if resources else said


def _resources(step: Step) -> Iterator[tuple[str, Any]]:
    asked = step.resources
    if asked.cpu is not None:
        yield "cpuLimit", machines.cpus(asked.cpu)
        yield "resourceCpuLimit", asked.cpu
    if asked.memory is not None:
        yield "memoryLimit", machines.gigabytes(asked.memory)
        yield "resourceMemoryLimit", machines.memory(asked.memory)
    if asked.gpu is not None:
        kind, count = accelerator(asked.gpu)
        yield "accelerator", {
            "count": str(count), "type": kind, "resourceCount": str(count), "resourceType": kind,
        }  # fmt: skip


def accelerator(text: str) -> tuple[str, int]:
    """What ``gpu`` says: the service's name of the type, and how many; ``1`` alone: of any type."""
    kind, _, count = text.partition(":")
    if kind.isdecimal():
        return "nvidia.com/gpu", int(kind)
    return machines.gpu_type(kind) or kind, int(count or 1)


BACKOFF: dict[str, Any] = {"backoffDuration": "10s", "backoffFactor": 2.0, "backoffMaxDuration": "3600s"}


def as_yaml(said: Mapping[str, Any], head: str = "") -> str:
    """The document as text: one document, texts of several lines as they are."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as blocks, and the same list twice rather than a reference."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return head + yaml.dump(dict(said), Dumper=Dumper, sort_keys=True, width=1000, allow_unicode=True)
