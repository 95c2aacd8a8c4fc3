"""A pipeline runs: its tasks as soon as those before them have ended, branches, loops, exit tasks, failure policy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from nbvertex.emulator.cel import InvalidExpression, condition
from nbvertex.emulator.inputs import Ending, Inputs, Scope, as_declared
from nbvertex.emulator.spec import Component, Constant, Dag, Importer, Iterator, Pipeline, Task
from nbvertex.emulator.tasks import (
    GOOD,
    Artifact,
    Change,
    Journal,
    Outputs,
    Record,
    TaskFailed,
    TaskState,
    new_id,
)

Json = Any


MOST_TOLD = 3  # failures of tasks that the failure of the pipeline repeats


class Steps(Protocol):
    """Does what a container executor wants."""

    async def run(
        self, record: Record, task: Task, component: Component, inputs: Inputs
    ) -> tuple[TaskState, Outputs]:
        """Run the container until it has succeeded, or take its result from the cache.

        Returns:
            `SUCCEEDED`, or `SKIPPED` where the result is an earlier one; and the outputs.

        Raises:
            TaskFailed: it has failed for good.
        """
        ...


@dataclass(frozen=True, slots=True)
class Order:
    """What a pipeline job asks for.

    Args:
        name: the job's resource name.
        pipeline: what to run.
        inputs: parameters as `run_parameters` gave them, and artifacts.
        root: the URI below which outputs are put.
        facts: what placeholders stand for.
        fail_fast: start no new task once one has failed.
        labels: the job's.
        env: variables of every container.
    """

    name: str
    pipeline: Pipeline
    inputs: Inputs
    root: str
    facts: Mapping[str, str]
    fail_fast: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)

    def facts_of(self, record: Record) -> Mapping[str, str]:
        """What placeholders stand for in one task."""
        return {**self.facts, "pipeline_task_name": record.name, "pipeline_task_uuid": str(record.id)}


class Run:
    """One run of a pipeline.

    Args:
        order: what to run.
        steps: does what containers want.
        journal: hears of every change.
        now: the time.
    """

    def __init__(self, order: Order, steps: Steps, journal: Journal, now: Callable[[], float]) -> None:
        self._order = order
        self._steps = steps
        self._journal = journal
        self._now = now
        self._failures: list[str] = []
        self._last_wishes: set[int] = set()  # exit tasks, and all within them

    async def go(self) -> Outputs:
        """Run until nothing more can run.

        Raises:
            TaskFailed: a task failed; the others that could run have.
            asyncio.CancelledError: it was cancelled; no process of it is left.
        """
        root = self._order.pipeline.root
        assert isinstance(root.body, Dag)
        record = self._record(self._order.name.rsplit("/", 1)[-1], None, "dag", self._order.inputs)
        ending = await self._dag(record, root, root.body, self._order.inputs)
        if ending.error is not None:
            raise TaskFailed(
                "; ".join([ending.error.message, *self._failures[:MOST_TOLD]]), ending.error.code
            )
        return ending.outputs

    # --- records ------------------------------------------------------------------------------------------

    def _record(self, name: str, parent: Record | None, kind: Any, inputs: Inputs) -> Record:
        record = Record(new_id(), name, parent.id if parent else None, kind, self._now())
        if parent is not None and parent.id in self._last_wishes:
            self._last_wishes.add(record.id)
        record.parameters, record.artifacts = inputs.parameters, inputs.artifacts
        self._enter(record, "PENDING")
        return record

    def _enter(self, record: Record, state: TaskState, error: TaskFailed | None = None) -> None:
        now = self._now()
        record.state, record.error = state, error
        record.history.append(Change(state, now, error))
        if state == "RUNNING" and record.started is None:
            record.started = now
        if state not in ("PENDING", "RUNNING", "CANCELLING"):
            record.ended = now
        self._journal.changed(record)

    def _end(self, record: Record, ending: Ending) -> Ending:
        record.outputs = ending.outputs
        self._enter(record, ending.state, ending.error)
        if ending.state == "FAILED" and (record.kind != "dag" or not self._failures):
            self._failures.append(f"{record.name}: {ending.error.message if ending.error else 'failed'}")
        return ending

    # --- DAGs ---------------------------------------------------------------------------------------------

    async def _dag(self, record: Record, component: Component, dag: Dag, inputs: Inputs) -> Ending:
        scope = Scope(inputs, self._order.name)
        self._enter(record, "RUNNING")
        started: dict[str, asyncio.Task[None]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                for task in dag.tasks:
                    before = [started[name] for name in task.upstream]
                    started[task.name] = group.create_task(self._task(task, scope, record, before))
        except asyncio.CancelledError:
            self._enter(record, "CANCELLED")
            raise
        failed = [name for name, ending in scope.endings.items() if ending.state == "FAILED"]
        outputs = _collected(dag, component, scope)
        if failed:
            names = ", ".join(failed)
            error = TaskFailed(f"The DAG failed because some tasks failed. The failed tasks are: [{names}].")
            return self._end(record, Ending("FAILED", outputs, error))
        return self._end(record, Ending("SUCCEEDED", outputs))

    async def _task(self, task: Task, scope: Scope, parent: Record, before: list[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        component = self._order.pipeline.components[task.component]
        kind = {Dag: "dag", Importer: "importer"}.get(type(component.body), "container")
        record = self._record(task.name, parent, "dag" if task.iterator else kind, Inputs())
        scope.endings[task.name] = await self._in_turn(record, task, component, scope)

    async def _in_turn(self, record: Record, task: Task, component: Component, scope: Scope) -> Ending:
        """Run a task now that those before it have ended, if it is to run."""
        if task.always:
            self._last_wishes.add(record.id)
        elif self._is_over(record) or any(scope.endings[one].state not in GOOD for one in task.upstream):
            return self._end(record, Ending("NOT_TRIGGERED"))
        try:
            inputs = scope.inputs_of(task, self._order.facts_of(record))
            record.parameters, record.artifacts = inputs.parameters, inputs.artifacts
            triggered = task.condition is None or condition(task.condition, inputs.parameters)
        except (TaskFailed, InvalidExpression) as error:
            problem = error if isinstance(error, TaskFailed) else TaskFailed(str(error))
            return self._end(record, Ending("FAILED", error=problem))
        if not triggered:
            return self._end(record, Ending("NOT_TRIGGERED"))
        if task.iterator is not None:
            return await self._loop(record, task, task.iterator, component, inputs)
        return await self._component(record, task, component, inputs)

    def _is_over(self, record: Record) -> bool:
        """Whether nothing new is to be started any more."""
        return self._order.fail_fast and bool(self._failures) and record.id not in self._last_wishes

    # --- loops --------------------------------------------------------------------------------------------

    async def _loop(
        self, record: Record, task: Task, iterator: Iterator, component: Component, inputs: Inputs
    ) -> Ending:
        self._enter(record, "RUNNING")
        try:
            rounds = _rounds(iterator, inputs)
        except TaskFailed as error:
            return self._end(record, Ending("FAILED", error=error))
        turns = asyncio.Semaphore(iterator.parallelism or max(1, len(rounds)))

        async def one(number: int, given: Inputs) -> Ending:
            async with turns:
                if self._is_over(record):
                    return Ending("NOT_TRIGGERED")
                kind = "dag" if isinstance(component.body, Dag) else "container"
                child = self._record(f"{task.name}-{number}", record, kind, given)
                return await self._component(child, task, component, given)

        try:
            async with asyncio.TaskGroup() as group:
                started = [group.create_task(one(number, given)) for number, given in enumerate(rounds)]
        except asyncio.CancelledError:
            self._enter(record, "CANCELLED")
            raise
        endings = [turn.result() for turn in started]
        outputs = _gathered(component, [ending.outputs for ending in endings])
        failed = [f"{task.name}-{n}" for n, ending in enumerate(endings) if ending.state == "FAILED"]
        if failed:
            names = ", ".join(failed)
            problem = TaskFailed(
                f"The DAG failed because some tasks failed. The failed tasks are: [{names}]."
            )
            return self._end(record, Ending("FAILED", outputs, problem))
        return self._end(record, Ending("SUCCEEDED", outputs))

    # --- components ---------------------------------------------------------------------------------------

    async def _component(self, record: Record, task: Task, component: Component, given: Inputs) -> Ending:
        try:
            inputs = as_declared(task, component, given)
            record.parameters, record.artifacts = inputs.parameters, inputs.artifacts
            body = component.body
            if isinstance(body, Dag):
                return await self._dag(record, component, body, inputs)
            self._enter(record, "RUNNING")
            if isinstance(body, Importer):
                return self._end(record, Ending("SUCCEEDED", self._import(component, body, inputs)))
            state, outputs = await self._steps.run(record, task, component, inputs)
            return self._end(record, Ending(state, outputs))
        except TaskFailed as error:
            return self._end(record, Ending("FAILED", error=error))
        except asyncio.CancelledError:
            if record.ended is None:
                self._enter(record, "CANCELLED")
            raise

    def _import(self, component: Component, importer: Importer, inputs: Inputs) -> Outputs:
        from nbvertex.emulator.placeholders import Context, UnknownPlaceholder

        context = Context(self._order.facts, {"inputs": {"parameterValues": dict(inputs.parameters)}})
        try:
            uri = (
                context.fill_all(importer.uri.value)
                if isinstance(importer.uri, Constant)
                else inputs.parameters.get(importer.uri.name)
            )
            metadata = context.fill_all(dict(importer.metadata))
        except UnknownPlaceholder as error:
            raise TaskFailed(str(error)) from error
        if not isinstance(uri, str) or not uri:
            raise TaskFailed(f"The importer {component.name!r} was given no URI.")
        name = None if importer.reimport else self._journal.imported(uri, importer.type)
        artifact = Artifact(name or self._journal.artifact_name(), uri, importer.type, metadata)
        return Outputs(artifacts=dict.fromkeys(component.artifact_outputs or ("artifact",), (artifact,)))


def _rounds(iterator: Iterator, inputs: Inputs) -> list[Inputs]:
    """What each iteration is given."""
    if iterator.over_artifacts:
        held = inputs.artifacts.get(iterator.input or "", ())
        return [inputs.having(artifacts={iterator.item: (one,)}) for one in held]
    items: Json = list(iterator.items)
    if iterator.input is not None:
        from nbvertex.emulator.parameters import typed

        try:
            items = typed(inputs.parameters.get(iterator.input), "LIST")
        except ValueError as error:
            raise TaskFailed(f"The items of the loop are no list: {error}") from error
    return [inputs.having({iterator.item: item}) for item in items or ()]


def _gathered(component: Component, rounds: list[Outputs]) -> Outputs:
    """The outputs of a loop: those of its iterations in order; one that left nothing is left out."""
    parameters = {
        key: [one.parameters[key] for one in rounds if key in one.parameters]
        for key in component.parameter_outputs
    }
    artifacts = {
        key: tuple(artifact for one in rounds for artifact in one.artifacts.get(key, ()))
        for key in component.artifact_outputs
    }
    return Outputs(parameters, artifacts)


def _collected(dag: Dag, component: Component, scope: Scope) -> Outputs:
    """The outputs of a DAG: of each, the first that one of its tasks has left."""
    parameters = {}
    for key, choices in dag.parameters.items():
        for choice in choices:
            left = scope.endings[choice.task].outputs.parameters
            if choice.key in left:
                parameters[key] = left[choice.key]
                break
    artifacts = {}
    for key, choices in dag.artifacts.items():
        found = [scope.endings[choice.task].outputs.artifacts.get(choice.key) for choice in choices]
        held = [one for one in found if one is not None]
        if held:
            is_list = component.artifact_outputs[key].is_list if key in component.artifact_outputs else False
            artifacts[key] = tuple(one for part in held for one in part) if is_list else held[0]
    return Outputs(parameters, artifacts)
