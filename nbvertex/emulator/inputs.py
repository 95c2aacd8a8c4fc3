"""The inputs of a task: taken from where the pipeline says they come from, as the component declares them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbvertex.emulator.cel import InvalidExpression, select
from nbvertex.emulator.parameters import typed
from nbvertex.emulator.placeholders import Context, UnknownPlaceholder
from nbvertex.emulator.spec import Binding, Component, ComponentInput, Constant, FinalStatus, Task, TaskOutput
from nbvertex.emulator.tasks import Artifact, Artifacts, Outputs, TaskFailed, TaskState

Json = Any


@dataclass(frozen=True, slots=True)
class Ending:
    """How a task ended, and what it left."""

    state: TaskState
    outputs: Outputs = field(default_factory=Outputs)
    error: TaskFailed | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a task or a component is given."""

    parameters: Mapping[str, Json] = field(default_factory=dict)
    artifacts: Artifacts = field(default_factory=dict)

    def having(
        self,
        parameters: Mapping[str, Json] | None = None,
        artifacts: Mapping[str, tuple[Artifact, ...]] | None = None,
    ) -> Inputs:
        """The same with some more."""
        return Inputs({**self.parameters, **(parameters or {})}, {**self.artifacts, **(artifacts or {})})


@dataclass(frozen=True, slots=True)
class Scope:
    """A DAG while it runs: what it was given, and how its tasks have ended so far.

    Args:
        inputs: of the component that the DAG is the body of.
        endings: by task.
        job: the run's resource name.
    """

    inputs: Inputs
    job: str
    endings: dict[str, Ending] = field(default_factory=dict)

    def inputs_of(self, task: Task, facts: Mapping[str, str]) -> Inputs:
        """What a task is given; an input that nothing gives is left out.

        Args:
            task: which.
            facts: what placeholders in its constants stand for.

        Raises:
            TaskFailed: a selector or placeholder cannot be worked out.
        """
        parameters = {}
        constants = {}
        for name, binding in task.parameters.items():
            value = self._parameter(name, binding, task)
            if value is None:
                continue
            parameters[name] = value
            if isinstance(binding.source, Constant):
                constants[name] = value
        context = Context(facts, {"inputs": {"parameterValues": parameters}})
        try:
            parameters.update({name: context.fill_all(value) for name, value in constants.items()})
        except UnknownPlaceholder as error:
            raise TaskFailed(f"The inputs of task {task.name!r} cannot be worked out: {error}") from error
        artifacts = {name: self._artifacts(binding) for name, binding in task.artifacts.items()}
        return Inputs(parameters, {name: held for name, held in artifacts.items() if held is not None})

    def _parameter(self, name: str, binding: Binding, task: Task) -> Json:
        value = self._value(binding)
        if value is None or not binding.selector:
            return value
        try:
            return select(binding.selector, value)
        except InvalidExpression as error:
            raise TaskFailed(f"Input {name!r} of task {task.name!r}: {error}") from error

    def _value(self, binding: Binding) -> Json:
        match binding.source:
            case Constant(value):
                return value
            case ComponentInput(name):
                return self.inputs.parameters.get(name)
            case TaskOutput(task, key):
                return self.endings[task].outputs.parameters.get(key)
            case FinalStatus(task):
                return self._final_status(task)

    def _artifacts(self, binding: Binding) -> tuple[Artifact, ...] | None:
        match binding.source:
            case ComponentInput(name):
                return self.inputs.artifacts.get(name)
            case TaskOutput(task, key):
                return self.endings[task].outputs.artifacts.get(key)
        return None

    def _final_status(self, task: str) -> Json:
        ending = self.endings[task]
        states = {"SKIPPED": "SUCCEEDED", "NOT_TRIGGERED": "CANCELLED"}
        error = ending.error
        return {
            "state": states.get(ending.state, ending.state),
            "pipelineJobResourceName": self.job,
            "pipelineTaskName": task,
            "error": {} if error is None else {"code": error.code, "message": error.message},
        }


def as_declared(task: Task, component: Component, given: Inputs) -> Inputs:
    """What a component is given, with its defaults, each parameter of its declared type.

    Raises:
        TaskFailed: a required input is missing, or a parameter is of another type.
    """
    parameters = {}
    for name, declared in component.parameters.items():
        value = given.parameters.get(name, declared.default)
        if value is None:
            if not declared.optional:
                raise TaskFailed(f"Input parameter {name!r} of task {task.name!r} has no value.")
            continue
        try:
            parameters[name] = typed(value, declared.type)
        except ValueError as error:
            raise TaskFailed(f"Input parameter {name!r} of task {task.name!r}: {error}.") from error
    for name, port in component.artifacts.items():
        if not (port.optional or port.is_list or given.artifacts.get(name)):
            raise TaskFailed(f"Input artifact {name!r} of task {task.name!r} is missing.")
    return Inputs({**given.parameters, **parameters}, given.artifacts)
