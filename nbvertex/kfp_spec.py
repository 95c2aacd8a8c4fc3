"""A pipeline as the document that Vertex AI Pipelines and Kubeflow Pipelines read (KFP v2 IR), written without their client."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbvertex import cache, kfp_names, kfp_types
from nbvertex.bundle import Bundle
from nbvertex.kfp_names import Names
from nbvertex.pipeline import Json, Parameter, Pipeline, Step
from nbvertex.runtime import executor, orders
from nbvertex.travel import Traveller, has_default

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
_LINE = 120
_PIECE = 90_000  # characters of an argument: a system takes 128 KB
BOOT = '''\
"""Unpacks the runtime that nbvertex has sent along, and runs one step of the notebook with it.

Stands in for kfp.dsl.executor_main: the launcher's words follow the word --
"""
import base64, hashlib, io, os, sys, tarfile, tempfile

digest, end = sys.argv[1], sys.argv.index("--")
given = "".join(sys.argv[2:end])
if "\\n" not in given:  # where an earlier step has left it
    with open(given, "rb") as file:
        kit = file.read()
else:
    kit = base64.b64decode(given)
if hashlib.sha256(kit).hexdigest() != digest:
    sys.exit("the runtime that was sent along is damaged")
folder = tempfile.mkdtemp(prefix="nbvertex-kit-")
with tarfile.open(fileobj=io.BytesIO(kit)) as archive:
    for member in archive:
        path = os.path.join(folder, member.name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(archive.extractfile(member).read())
with open(os.path.join(folder, "kit"), "wb") as file:
    file.write(kit)
os.execv(sys.executable, [sys.executable, os.path.join(folder, "runtime"), "task", *sys.argv[end + 1:]])
'''


@dataclass(frozen=True, slots=True)
class Component:
    """A step as a component.

    Args:
        traveller: the step.
        names: what it is called.
        before: name of an input artifact -> the step that leaves it, all that it comes after.
        inputs: name of a parameter of the notebook -> what the component calls it.
        kinds: the values that it shows as artifacts -> their type.
        kit: the words that carry the runtime, or say where an earlier step has left it.
        said: the step as JSON.
        words: its cells.
        image: its container image.
        cached: its result may be taken from an earlier run.
        after: the steps whose end it waits for.
    """

    traveller: Traveller
    names: Names
    before: Mapping[str, str]
    inputs: Mapping[str, str]
    kinds: Mapping[str, str]
    kit: tuple[str, ...]
    said: str
    words: tuple[str, ...]
    image: str
    cached: bool
    after: tuple[str, ...]

    @property
    def step(self) -> Step:
        return self.traveller.step

    @property
    def outputs(self) -> dict[str, str]:
        """Name of an output artifact -> its type."""
        metrics = {executor.METRICS: "Metrics"} if self.traveller.measures else {}
        values = {f"value_{name}": kind for name, kind in self.kinds.items()}
        return {executor.STATE: "Artifact", executor.PAGE: "HTML", **metrics, **values}


@dataclass(frozen=True, slots=True)
class Spec:
    """A pipeline as components.

    Args:
        name: what it is called there.
        pipeline: the pipeline.
        digest: of the runtime.
        components: of its steps, in notebook order.
        kit: the runtime as lines of text.
    """

    name: str
    pipeline: Pipeline
    digest: str
    components: tuple[Component, ...]
    kit: tuple[str, ...] = ()
    names: Mapping[str, Names] = field(default_factory=dict)


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
    names = kfp_names.steps([step.name for step in pipeline.steps], taken)
    kinds = kfp_types.kinds(pipeline)
    kit = _pieces(bundle.kit)
    default = image or f"python:{bundle.python}"
    components = tuple(_component(bundle, one, names, kinds, kit, default) for one in bundle.steps)
    return Spec(called, pipeline, bundle.digest, components, kit, names)


def _pieces(kit: bytes) -> tuple[str, ...]:
    text = base64.b64encode(kit).decode("ascii")
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    many = _PIECE // (_LINE + 1)
    return tuple("\n".join(lines[at : at + many]) + "\n" for at in range(0, len(lines), many))


def _component(
    bundle: Bundle,
    one: Traveller,
    names: Mapping[str, Names],
    kinds: Mapping[str, kfp_types.Kind],
    kit: tuple[str, ...],
    image: str,
) -> Component:
    steps = bundle.pipeline.steps
    before = {
        f"{executor.BEFORE}{names[steps[place].name].function}": steps[place].name for place in one.before.all
    }
    inputs = kfp_names.inputs(one, before)
    first = next(iter(before), None)
    said = {**one.said, "parameters": [_renamed(said, inputs) for said in one.said.get("parameters", ())]}
    return Component(
        traveller=one,
        names=names[one.step.name],
        before=before,
        inputs=inputs,
        kinds={name: kinds.get(name, "Artifact") for name in one.values},
        kit=kit if first is None else (f"{path_of('inputs', first)}/{executor.KIT}",),
        said=orders.as_json(said if said["parameters"] else one.said),
        words=tuple(word for text in one.texts for word in orders.worded(text)),
        image=one.step.resources.image or image,
        cached=_cached(one.step),
        after=tuple(steps[place].name for place in one.before.direct),
    )


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
        "{{$}}",
        path_of("outputs", executor.STATE),
        component.said,
        *component.words,
    ]


# --- the document -----------------------------------------------------------------------------------------


def document(spec: Spec) -> dict[str, Any]:
    """The document as plain data."""
    inputs = {one.name: parameter_input(one) for one in spec.pipeline.parameters}
    info = {"name": spec.name, "description": description(spec)}
    root: dict[str, Any] = {"dag": {"tasks": {c.names.task: _task(spec, c) for c in spec.components}}}
    if inputs:
        root["inputDefinitions"] = {"parameters": inputs}
    return {
        "components": {f"comp-{c.names.task}": _definition(spec, c) for c in spec.components},
        "deploymentSpec": {
            "executors": {f"exec-{c.names.task}": {"container": _container(spec, c)} for c in spec.components}
        },
        "pipelineInfo": info,
        "root": root,
        "schemaVersion": "2.1.0",
        "sdkVersion": SDK,
    }


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


def _schema(kind: str) -> dict[str, Any]:
    return {"artifactType": {"schemaTitle": f"system.{kind}", "schemaVersion": _VERSION}}


def _definition(spec: Spec, component: Component) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    if component.before:
        inputs["artifacts"] = {name: _schema("Artifact") for name in component.before}
    if component.inputs:
        inputs["parameters"] = {
            component.inputs[one.name]: {"parameterType": parameter_type(one), "isOptional": True}
            for one in component.traveller.parameters
        }
    said: dict[str, Any] = {"executorLabel": f"exec-{component.names.task}"}
    if inputs:
        said["inputDefinitions"] = inputs
    said["outputDefinitions"] = {
        "artifacts": {name: _schema(kind) for name, kind in component.outputs.items()}
    }
    return said


def _container(spec: Spec, component: Component) -> dict[str, Any]:
    said: dict[str, Any] = {
        "image": component.image,
        "command": ["python3", "-c", BOOT],
        "args": arguments(spec, component),
    }
    resources = dict(_resources(component.step))
    return {**said, "resources": resources} if resources else said


def _resources(step: Step) -> Iterator[tuple[str, Any]]:
    asked = step.resources
    if asked.cpu is not None:
        yield "cpuLimit", cpus(asked.cpu)
        yield "resourceCpuLimit", asked.cpu
    if asked.memory is not None:
        yield "memoryLimit", gigabytes(asked.memory)
        yield "resourceMemoryLimit", memory(asked.memory)
    if asked.gpu is not None:
        kind, count = accelerator(asked.gpu)
        yield "accelerator", {
            "count": str(count), "type": kind, "resourceCount": str(count), "resourceType": kind,
        }  # fmt: skip


def cpus(text: str) -> float:
    """``4`` or ``500m`` as a number of processors."""
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


_UNITS = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}


def memory(text: str) -> str:
    """A size as Kubernetes writes it: without ``B``."""
    return text.removesuffix("B")


def gigabytes(text: str) -> float:
    """``16Gi`` as a number of gigabytes (10^9 bytes)."""
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]+)", memory(text))
    assert found is not None  # the option's own form
    return float(found[1]) * _UNITS[found[2]] / 1e9


GPUS = {
    "t4": "NVIDIA_TESLA_T4", "p4": "NVIDIA_TESLA_P4", "p100": "NVIDIA_TESLA_P100", "v100": "NVIDIA_TESLA_V100",
    "a100": "NVIDIA_TESLA_A100", "a100-40gb": "NVIDIA_TESLA_A100", "a100-80gb": "NVIDIA_A100_80GB", "l4": "NVIDIA_L4",
    "h100": "NVIDIA_H100_80GB", "h100-80gb": "NVIDIA_H100_80GB", "h100-mega-80gb": "NVIDIA_H100_MEGA_80GB",
    "h200": "NVIDIA_H200_141GB", "h200-141gb": "NVIDIA_H200_141GB", "b200": "NVIDIA_B200", "k80": "NVIDIA_TESLA_K80",
}  # fmt: skip


def accelerator(text: str) -> tuple[str, int]:
    """What ``gpu`` says: the service's name of the type, and how many; ``1`` alone: of any type."""
    kind, _, count = text.partition(":")
    if kind.isdecimal():
        return "nvidia.com/gpu", int(kind)
    return gpu_type(kind) or kind, int(count or 1)


def gpu_type(text: str) -> str | None:
    """The service's name of a type of GPU; None where it has none of that name."""
    plain = text.lower().replace("_", "-").removeprefix("nvidia-").removeprefix("tesla-")
    return GPUS.get(plain)


def task_inputs(spec: Spec, component: Component) -> dict[str, Any]:
    """Where a task's inputs come from."""
    said: dict[str, Any] = {}
    if component.before:
        said["artifacts"] = {
            name: {
                "taskOutputArtifact": {
                    "outputArtifactKey": executor.STATE,
                    "producerTask": spec.names[step].task,
                }
            }
            for name, step in component.before.items()
        }
    if component.inputs:
        said["parameters"] = {
            given: {"componentInputParameter": name} for name, given in component.inputs.items()
        }
    return said


def _task(spec: Spec, component: Component) -> dict[str, Any]:
    said: dict[str, Any] = {
        "taskInfo": {"name": component.step.title or component.step.name},
        "componentRef": {"name": f"comp-{component.names.task}"},
        "cachingOptions": {"enableCache": True} if component.cached else {},
    }
    inputs = task_inputs(spec, component)
    if inputs:
        said["inputs"] = inputs
        if component.before:
            said["dependentTasks"] = sorted(spec.names[step].task for step in component.before.values())
    if component.step.options.retries:
        said["retryPolicy"] = {"maxRetryCount": component.step.options.retries, **BACKOFF}
    return said


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
