"""A container of a pipeline, run: what it is told, its attempts, what it leaves; or an earlier result from the cache."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nbvertex.emulator.dag import Order
from nbvertex.emulator.images import Unmapped
from nbvertex.emulator.inputs import Inputs
from nbvertex.emulator.memory import Memory
from nbvertex.emulator.parameters import typed
from nbvertex.emulator.placeholders import Context, UnknownPlaceholder, expand
from nbvertex.emulator.processes import CannotStart, Command, Exit, Launcher
from nbvertex.emulator.spawning import SpawnerDied
from nbvertex.emulator.spec import Component, Container, Task
from nbvertex.emulator.tasks import Artifact, Journal, Outputs, Record, TaskFailed, TaskState, new_id
from nbvertex.emulator.times import Timer

Json = Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where one attempt reads and writes: the URI of its folder, and the folder."""

    uri: str
    folder: str


class ContainerSteps:
    """Runs the containers of one pipeline run.

    Args:
        order: the run.
        launcher: starts processes.
        memory: results of earlier tasks.
        journal: names new artifacts, hears of attempts.
        timer: for the pauses between attempts.
        preempted: after how many seconds the machine of a task is taken away, by `JOB/tasks/NAME`; None: it is not.
    """

    def __init__(
        self,
        order: Order,
        launcher: Launcher,
        memory: Memory,
        journal: Journal,
        timer: Timer,
        preempted: Callable[[str], float | None] = lambda _: None,
    ) -> None:
        self._order = order
        self._launcher = launcher
        self._memory = memory
        self._journal = journal
        self._timer = timer
        self._preempted = preempted

    async def run(
        self, record: Record, task: Task, component: Component, inputs: Inputs
    ) -> tuple[TaskState, Outputs]:
        """As `dag.Steps` says."""
        body = component.body
        assert isinstance(body, Container)
        key = self._key(task, component, body, inputs) if task.cached else None
        if key is not None and (known := self._memory.recall(key)) is not None:
            return "SKIPPED", known
        outputs = await self._with_retries(record, task, component, body, inputs)
        if key is not None:
            self._memory.keep(key, outputs)
        return "SUCCEEDED", outputs

    def _key(self, task: Task, component: Component, body: Container, inputs: Inputs) -> str:
        """What a result stands for: the pipeline's name, the component, its inputs."""
        told = (
            [task.cache_key]
            if task.cache_key
            else [
                [body.image, body.command, body.args, body.env],
                inputs.parameters,
                {name: [one.name for one in held] for name, held in inputs.artifacts.items()},
                component.parameter_outputs,
                {name: [dict(port.type), port.is_list] for name, port in component.artifact_outputs.items()},
            ]
        )
        text = json.dumps([self._order.pipeline.name, told], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    async def _with_retries(
        self, record: Record, task: Task, component: Component, body: Container, inputs: Inputs
    ) -> Outputs:
        number = 0
        while True:
            number += 1
            try:
                return await self._attempt(record, number, task, component, body, inputs)
            except TaskFailed:
                if number > task.retry.count:
                    raise
            await self._timer.sleep(task.retry.pause(number))

    async def _attempt(
        self, record: Record, number: int, task: Task, component: Component, body: Container, inputs: Inputs
    ) -> Outputs:
        uri = f"{self._order.root}/{_plain(record.name)}_{record.id}"
        place = Place(uri, self._launcher.path(uri))
        told = self._executor_input(place, component, inputs)
        _make_room(place, told)
        context = Context(
            self._order.facts_of(record), told, self._launcher.path, *_by_author(component, inputs)
        )
        job = f"{self._order.name.partition('/pipelineJobs/')[0]}/customJobs/{new_id()}"
        record.jobs.append(job)
        self._journal.changed(record)
        try:
            command = self._command(context, record, number, task, body, job)
            ended = await self._launcher.run(command)
        except (UnknownPlaceholder, Unmapped, CannotStart, SpawnerDied) as error:
            raise TaskFailed(str(error)) from error
        if ended.code or ended.stopped:
            raise TaskFailed(exit_message(ended))
        try:
            return _outputs(component, told)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise TaskFailed(
                f"What task {record.name!r} wrote as its outputs is not understood: {error}"
            ) from error

    def _command(
        self, context: Context, record: Record, number: int, task: Task, body: Container, job: str
    ) -> Command:
        env: dict[str, str] = {}
        for name, value in body.env:
            env[name] = expand(context.fill(value), env)
        return Command(
            image=context.fill(body.image),
            words=tuple(context.words(body.command)),
            args=tuple(context.words(body.args)),
            env={
                **self._order.env,
                "CLOUD_ML_JOB_ID": job.rpartition("/")[2],
                "VERTEX_AI_PIPELINES_RUN_LABELS": json.dumps(dict(self._order.labels)),
                **env,
            },
            folder=f"pipelines/{self._order.name.rsplit('/', 1)[-1]}/{_plain(record.name)}_{record.id}.{number}",
            job=job,
            labels={
                "pipeline_job": self._order.name.rpartition("/")[2],
                "task_name": record.name,
                "attempt": str(number),
            },
            preempted=self._preempted(f"{self._order.name}/tasks/{record.name}"),
        )

    def _executor_input(self, place: Place, component: Component, inputs: Inputs) -> dict[str, Json]:
        """What the executor is told: its inputs, and where its outputs go."""
        new = {
            key: Artifact(
                self._journal.artifact_name(), f"{place.uri}/{key}", port.type, dict(port.metadata)
            ).json()
            for key, port in component.artifact_outputs.items()
        }
        return {
            "inputs": {
                "parameterValues": dict(inputs.parameters),
                "artifacts": {
                    key: {"artifacts": [one.json() for one in held]} for key, held in inputs.artifacts.items()
                },
            },
            "outputs": {
                "parameters": {
                    key: {"outputFile": f"{place.folder}/{key}"} for key in component.parameter_outputs
                },
                "artifacts": {key: {"artifacts": [one]} for key, one in new.items()},
                "outputFile": f"{place.folder}/executor_output.json",
            },
        }


BLANKS: Mapping[str, Json] = {
    "NUMBER_INTEGER": 0,
    "NUMBER_DOUBLE": 0.0,
    "STRING": "",
    "BOOLEAN": False,
    "LIST": [],
    "STRUCT": {},
}
"""What stands for a parameter of each type that is not given."""


def _by_author(component: Component, inputs: Inputs) -> tuple[frozenset[str], Mapping[str, Json]]:
    """The parameters that have the value which the component's author wrote, and what stands for those not given."""
    given, declared = inputs.parameters, component.parameters
    own = {name for name, one in declared.items() if name in given and one.default == given[name]}
    blanks = {name: BLANKS.get(one.type, "") for name, one in declared.items() if name not in given}
    return frozenset(own), blanks


def _plain(name: str) -> str:
    """A task's name as a part of a file's."""
    return re.sub(r"[^\w.-]", "_", name)


def _make_room(place: Place, told: Mapping[str, Json]) -> None:
    """Make the folder of an attempt; what an earlier one said there is gone."""
    outputs = told["outputs"]
    for stale in (outputs["outputFile"], *(one["outputFile"] for one in outputs["parameters"].values())):
        Path(stale).unlink(missing_ok=True)
    Path(place.folder).mkdir(parents=True, exist_ok=True)


def _outputs(component: Component, told: Mapping[str, Json]) -> Outputs:
    """What the executor left: its output file, else a file for each parameter.

    Raises:
        ValueError: a parameter is of another type than declared.
    """
    said: dict[str, Json] = {}
    file = Path(told["outputs"]["outputFile"])
    if file.is_file() and (text := file.read_text(encoding="utf-8")).strip():
        said = json.loads(text)
    parameters = {}
    values = said.get("parameterValues", {})
    for key, kind in component.parameter_outputs.items():
        path = Path(told["outputs"]["parameters"][key]["outputFile"])
        if key in values:
            parameters[key] = typed(values[key], kind)
        elif path.is_file():
            parameters[key] = typed(path.read_text(encoding="utf-8"), kind)
    artifacts = {
        key: _left(port.is_list, told["outputs"]["artifacts"][key], said.get("artifacts", {}).get(key, {}))
        for key, port in component.artifact_outputs.items()
    }
    return Outputs(parameters, artifacts)


def _left(is_list: bool, planned: Mapping[str, Json], said: Mapping[str, Json]) -> tuple[Artifact, ...]:
    """The artifacts of one output: as planned, with what the executor says of them."""
    first = Artifact.of(planned["artifacts"][0])
    listed = said.get("artifacts") or []
    if not listed:
        return () if is_list and said else (first,)
    return tuple(
        replace(
            first,
            name=first.name if number == 0 else one.get("name") or f"{first.name}-{number}",
            uri=one.get("uri") or first.uri,
            metadata={**first.metadata, **(one.get("metadata") or {})},
        )
        for number, one in enumerate(listed if is_list else listed[:1])
    )


def exit_message(ended: Exit, replica: str = "workerpool0-0") -> str:
    """What the service says of a container that has not ended well."""
    if ended.stopped == "preempted":
        return (
            f"The replica {replica} was preempted: its machine was taken away. Termination reason: Preempted."
        )
    said = f" Its last line was: {ended.last.rstrip('.')}." if ended.last else ""
    return (
        f"The replica {replica} exited with a non-zero status of {ended.code}.{said} "
        f"To find out more about why your job exited please check the logs: {ended.log}"
    )
