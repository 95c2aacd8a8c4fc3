"""From a target's files to the jobs that run them: what is sent to Vertex AI, before anybody has sent it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nbvertex import service
from nbvertex.config import Profile
from nbvertex.errors import ParameterError, Place, Problem, ProblemsFound, UsageError
from nbvertex.pipeline import Json, Parameter, Pipeline
from nbvertex.runtime.orders import by_papermill, same
from nbvertex.submissions import Job, Part
from nbvertex.vertex import Upload

FOLDER = "nbvertex"  # below the profile's bucket


@dataclass(frozen=True, slots=True)
class Draft:
    """What a submission sends.

    Args:
        jobs: what is created.
        uploads: what must lie in the bucket before.
        tasks: name of a task at the service -> what it is.
    """

    jobs: tuple[Job, ...]
    uploads: tuple[Upload, ...]
    tasks: Mapping[str, Part]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is submitted.

    Args:
        pipeline: the pipeline.
        files: it as its target has written it.
        values: of parameters.
        profile: where and as whom; complete.
        ident: the submission's id.
    """

    pipeline: Pipeline
    files: Mapping[str, str]
    values: Mapping[str, Json]
    profile: Profile
    ident: str


def draft(target: str, asked: Asked) -> Draft:
    """What is sent for a target.

    Raises:
        UsageError: nothing can be submitted to it.
        ParameterError: a value cannot be sent there.
    """
    if target not in DRAFTS:
        raise UsageError(
            f"nothing can be submitted to {target}",
            hint=f"there are {', '.join(DRAFTS)}; `nbvertex convert --to {target}` writes its files",
            code="no-submission",
        )
    return DRAFTS[target](asked)


def _pipeline(asked: Asked) -> Draft:
    """One pipeline job; its document is in it, and in the bucket beside what it leaves."""
    import yaml

    text = asked.files["pipeline.yaml"]
    spec = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    profile, steps = asked.profile, tuple(step.name for step in asked.pipeline.steps)
    name = spec["pipelineInfo"]["name"]
    body: dict[str, Any] = {
        "displayName": name,
        "pipelineSpec": spec,
        "runtimeConfig": {
            "gcsOutputDirectory": f"{profile.bucket}/{FOLDER}",
            "parameterValues": {
                one.name: sent(one, asked.values[one.name])
                for one in asked.pipeline.parameters
                if one.name in asked.values and asked.values[one.name] is not None
            },
        },
        "serviceAccount": profile.service_account,
        "labels": {"nbv-pipeline": label_of(name)},
        **surroundings(profile),
    }
    for one in asked.pipeline.parameters:
        if one.name in asked.values:
            _check_none(one, asked.values[one.name])
    ident = f"{name[:80].rstrip('-')}-{asked.ident}"
    job = Job(part=1, kind="pipeline", where=service.parent(profile), ident=ident, body=body, steps=steps)
    return Draft((job,), (upload(profile, text.encode(), "yaml"),), dict(_tasks(spec)))


def _tasks(spec: Mapping[str, Any]) -> Iterator[tuple[str, Part]]:
    """What every task of a document is, under each name that the service may call it by."""
    components = spec["components"]
    for dag in (spec["root"], *components.values()):
        for key, task in dag.get("dag", {}).get("tasks", {}).items():
            label = components[task["componentRef"]["name"]].get("executorLabel")
            container = spec["deploymentSpec"]["executors"].get(label, {}).get("container", {})
            part = next(filter(None, map(_part, container.get("args", ()))), None)
            if part is not None:
                yield key, part
                yield task["taskInfo"]["name"], part


def _part(word: str) -> Part | None:
    """What a container's word says that it does of a step; None: it is another word."""
    if not word.startswith("{"):
        return None
    try:
        said = json.loads(word)
    except ValueError:
        return None
    return Part(step=said["step"], role=said.get("task", {}).get("kind", "run")) if "step" in said else None


def _jobs(asked: Asked) -> Draft:
    """Custom jobs, each as its target has written it, with what the profile says put in."""
    profile, root = asked.profile, f"{asked.profile.bucket}/{FOLDER}/jobs/{asked.ident}"
    environ = [
        {"name": "NBVERTEX_ROOT", "value": root},
        {"name": "NBVERTEX_PARAMETERS", "value": json.dumps(asked.values, sort_keys=True)},
    ]
    listed = json.loads(asked.files["jobs.json"])
    jobs = tuple(
        Job(
            part=number,
            kind="job",
            where=service.parent(profile),
            ident=asked.ident,
            body=_custom_job(one["job"], asked, environ),
            steps=tuple(one["steps"]),
            after=tuple(one.get("after", ())),
            attempts=one.get("attempts", 1),
        )
        for number, one in enumerate(listed, 1)
    )
    return Draft(jobs, (upload(profile, asked.files["jobs.json"].encode(), "json"),), {})


def _custom_job(said: Mapping[str, Any], asked: Asked, environ: list[dict[str, str]]) -> dict[str, Any]:
    profile, spec = asked.profile, dict(said["jobSpec"])
    spec.setdefault("serviceAccount", profile.service_account)
    if profile.network:
        spec.setdefault("network", profile.network)
    spec["workerPoolSpecs"] = [
        {
            **pool,
            "containerSpec": {
                **pool["containerSpec"],
                "env": [*pool["containerSpec"].get("env", ()), *environ],
            },
        }
        if "containerSpec" in pool
        else pool
        for pool in spec["workerPoolSpecs"]
    ]
    key = {"encryptionSpec": {"kmsKeyName": profile.kms_key}} if profile.kms_key else {}
    labels = {"nbv-pipeline": label_of(asked.pipeline.name), **said.get("labels", {})}
    return {"displayName": asked.pipeline.name, **key, **said, "jobSpec": spec, "labels": labels}


def label_of(name: str) -> str:
    """A name as the value of a label."""
    return re.sub(r"[^a-z0-9_-]", "-", name.lower())[:63].strip("-_")


DRAFTS: Mapping[str, Callable[[Asked], Draft]] = {"vertex-pipeline": _pipeline, "vertex-job": _jobs}


def surroundings(profile: Profile) -> dict[str, Any]:
    """What a profile says about a job beside where it is."""
    said: dict[str, Any] = {"network": profile.network} if profile.network else {}
    return {**said, "encryptionSpec": {"kmsKeyName": profile.kms_key}} if profile.kms_key else said


def upload(profile: Profile, data: bytes, ending: str) -> Upload:
    """Bytes as an object that is named by what it holds."""
    bucket, _, prefix = str(profile.bucket).removeprefix("gs://").partition("/")
    name = f"{FOLDER}/objects/{hashlib.sha256(data).hexdigest()}.{ending}"
    return Upload(bucket, f"{prefix}/{name}" if prefix else name, data)


# --- values of parameters ---------------------------------------------------------------------------------


def sent(parameter: Parameter, value: Json) -> Json:
    """A value as the service takes it: one for a parameter of no declared type is a text, read as papermill reads it.

    Raises:
        ParameterError: another value would arrive.
    """
    if parameter.kind in ("int", "float", "bool", "str", "list", "dict"):
        return value
    text = value if isinstance(value, str) else str(value)
    if isinstance(value, list | dict) or not same(by_papermill(text), value):
        raise ParameterError(
            f"the parameter {parameter.name} has no type, so that {value!r:.60} would arrive as another value",
            place=Place(cell=parameter.cell or None, line=parameter.line or None),
            hint=f"declare its type where it is set: {parameter.name}: {type(value).__name__} = ...",
        )
    return text


def _check_none(parameter: Parameter, value: Json) -> None:
    if value is None and parameter.default is not None:
        raise ParameterError(
            f"the parameter {parameter.name} cannot be None there: none given means {parameter.source or parameter.default}",
            place=Place(cell=parameter.cell or None, line=parameter.line or None),
            hint="leave it out, or set it within the notebook",
        )


# --- what must not be sent --------------------------------------------------------------------------------


def check_secrets(pipeline: Pipeline) -> None:
    """A step names a secret in full: a short name may be another project's, or the secret itself.

    Raises:
        ProblemsFound: some do not; what they say instead is not repeated.
    """
    problems = [
        Problem(
            "secret-reference",
            f"`secret:{name}=...` does not name a version of a secret",
            Place(notebook=pipeline.notebook, cell=step.cells[0].position, step=step.name),
            f"secret:{name}=projects/PROJECT/secrets/NAME/versions/NUMBER",
        )
        for step in pipeline.steps
        for name, _, reference in (text.partition("=") for text in step.options.secrets)
        if not re.fullmatch(r"projects/[a-z0-9:.-]+/secrets/[\w-]+/versions/\w+", reference)
    ]
    if problems:
        raise ProblemsFound(problems)


def as_json(value: object) -> str:
    """A request as text."""
    return json.dumps(value, indent=2, ensure_ascii=False)
