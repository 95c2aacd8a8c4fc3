"""Which tasks of a pipeline run, in what order, on what, and how it ends; containers are played by functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ir import component, group, loop, pipeline, task

from nbvertex.emulator.compiled import parse
from nbvertex.emulator.dag import Order, Run
from nbvertex.emulator.inputs import Inputs
from nbvertex.emulator.parameters import run_parameters
from nbvertex.emulator.spec import Component, Task
from nbvertex.emulator.tasks import Outputs, Record, TaskFailed, TaskState

ECHO = component(inputs={"n": "NUMBER_INTEGER"}, outputs={"Output": "NUMBER_INTEGER"})
TEXT = component(inputs={"s": "STRING"}, outputs={"Output": "STRING"})
NONE = component()


class Journal:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.records: dict[int, Record] = {}

    def changed(self, record: Record) -> None:
        self.records[record.id] = record

    def artifact_name(self) -> str:
        return f"artifacts/{len(self.records)}"

    def imported(self, uri: str, schema: Any) -> str | None:
        return None


class Played:
    """Containers as functions of their inputs: a component named `fail...` fails, any other gives back its input."""

    def __init__(self, play: Callable[[Record, Inputs], Any] | None = None) -> None:
        self.order: list[str] = []
        self.inputs: dict[str, Any] = {}
        self.most = self.now = 0
        self._play = play

    async def run(
        self, record: Record, task: Task, component: Component, inputs: Inputs
    ) -> tuple[TaskState, Outputs]:
        self.order.append(record.name)
        self.inputs[record.name] = dict(inputs.parameters)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0.001)
            if self._play is not None:
                await self._play(record, inputs)
        finally:
            self.now -= 1
        if task.component.startswith("fail"):
            raise TaskFailed("it failed")
        value = next(iter(inputs.parameters.values()), None)
        return "SUCCEEDED", Outputs({} if value is None else {"Output": value})


def run(document: Any, played: Played | None = None, *, fail_fast: bool = False, **given: Any) -> Any:
    """Run a pipeline; how its tasks ended by name, its outputs, its error."""
    parsed = parse(document)
    journal, played = Journal(), played or Played()
    inputs = Inputs(run_parameters(parsed.root, given))
    order = Order("jobs/run", parsed, inputs, "gs://b/runs", {"pipeline_job_name": "run"}, fail_fast)
    outputs, error = None, None
    try:
        outputs = asyncio.run(Run(order, played, journal, lambda: 1.0).go())
    except TaskFailed as failure:
        error = failure.message
    states: dict[str, Any] = {}
    for record in journal.records.values():
        states.setdefault(record.name, []).append(record.state)
    return {name: one[0] if len(one) == 1 else one for name, one in states.items()}, outputs, error


def when(condition: str) -> Any:
    """Two branches on the input n, and what comes after them."""
    branch = group({"inner": task("echo", n=1)}, inputs={"n": "NUMBER_INTEGER"})
    return pipeline(
        {
            "yes": task("branch", when=condition, n="input.n"),
            "no": task("branch", when=f"!({condition})", n="input.n"),
            "after-yes": task("none", after=("yes",)),
        },
        inputs={"n": "NUMBER_INTEGER"},
        branch=branch,
        echo=ECHO,
        none=NONE,
    )


@pytest.mark.parametrize(
    "n,taken,other",
    [(5, "yes", "no"), (1, "no", "yes")],
)
def test_one_branch_is_taken(n: int, taken: str, other: str) -> None:
    """The other is not triggered, nor what comes after it; the pipeline has ended well."""
    states, _, error = run(when("inputs.parameter_values['n'] > 3"), n=n)
    assert error is None
    assert states[taken] == "SUCCEEDED"
    assert states[other] == "NOT_TRIGGERED"
    assert states["inner"] == "SUCCEEDED"
    assert states["after-yes"] == ("SUCCEEDED" if taken == "yes" else "NOT_TRIGGERED")


def test_values_flow_from_task_to_task() -> None:
    """Constants, the pipeline's own parameters, outputs of earlier tasks, texts made of them."""
    played = Played()
    document = pipeline(
        {
            "a": task("echo", n="input.n"),
            "b": task("echo", n=("a", "Output")),
            "c": task(
                "text", s="n is {{$.inputs.parameters['x']}} in {{$.pipeline_job_name}}", x=("b", "Output")
            ),
        },
        inputs={"n": {"parameterType": "NUMBER_INTEGER", "defaultValue": 7.0}},
        select={"last": ("c", "Output")},
        echo=ECHO,
        text=TEXT,
    )
    _, outputs, _ = run(document, played)
    assert played.order == ["a", "b", "c"]
    assert outputs.parameters == {"last": "n is 7 in run"}
    assert run(document, played, n=8)[1].parameters == {"last": "n is 8 in run"}


def test_the_output_of_the_branch_that_was_taken() -> None:
    """`OneOf`: the group of branches gives what the one that ran has left."""
    branches = group(
        {
            "if": task("echo", n=1, when="inputs.parameter_values['x'] == 'a'", x="input.x"),
            "else": task("echo", n=2, when="!(inputs.parameter_values['x'] == 'a')", x="input.x"),
        },
        inputs={"x": "STRING"},
        outputs={"Output": "NUMBER_INTEGER"},
        select={"Output": [("if", "Output"), ("else", "Output")]},
    )
    document = pipeline(
        {"branches": task("branches", x="input.x"), "use": task("echo", n=("branches", "Output"))},
        inputs={"x": "STRING"},
        branches=branches,
        echo=ECHO,
    )
    for x, chosen in (("a", 1), ("b", 2)):
        played = Played()
        assert run(document, played, x=x)[2] is None
        assert played.inputs["use"] == {"n": chosen}


def loops(*, parallelism: int = 0) -> Any:
    """A loop in a loop, whose results are collected."""
    inner = group(
        {"leaf": task("echo", n="input.item", outer="input.outer")},
        inputs={"item": "NUMBER_INTEGER", "outer": "NUMBER_INTEGER"},
        outputs={"leaf": "LIST"},
        select={"leaf": ("leaf", "Output")},
    )
    outer = group(
        {"inner-loop": loop(task("inner", outer="input.item"), "item", [10, 20])},
        inputs={"item": "NUMBER_INTEGER"},
        outputs={"all": "LIST"},
        select={"all": ("inner-loop", "leaf")},
    )
    return pipeline(
        {
            "outer-loop": loop(task("outer", items="input.items"), "item", "items", parallelism=parallelism),
            "use": task("list", xs=("outer-loop", "all")),
        },
        inputs={"items": "LIST"},
        inner=inner,
        outer=outer,
        echo=component(
            inputs={"n": "NUMBER_INTEGER", "outer": "NUMBER_INTEGER"}, outputs={"Output": "NUMBER_INTEGER"}
        ),
        list=component(inputs={"xs": "LIST"}),
    )


def test_nested_loops_are_collected_in_order() -> None:
    """What each iteration left is in a list, in the order of the items."""
    played = Played()
    states, _, error = run(loops(), played, items=[1, 2, 3])
    assert error is None
    assert played.inputs["use"] == {"xs": [[10, 20], [10, 20], [10, 20]]}
    assert states["leaf"] == ["SUCCEEDED"] * 6
    assert {f"outer-loop-{n}" for n in range(3)} < set(states)


def test_no_more_iterations_at_once_than_allowed() -> None:
    """The limit of the loop holds; within an iteration all runs side by side."""
    played = Played()
    run(loops(parallelism=1), played, items=[1, 2, 3])
    assert played.most == 2


@pytest.mark.parametrize("items", [[], ["a", {"b": 1}, [2], 1.5, True]], ids=["none", "of all kinds"])
def test_items_of_any_kind(items: list[Any]) -> None:
    """An empty list has no iteration and ends well."""
    body = group({"leaf": task("echo", n="input.item")}, inputs={"item": "STRUCTURELESS"})
    document = pipeline(
        {"each": loop(task("body", items="input.items"), "item", "items")},
        inputs={"items": "LIST"},
        body=body,
        echo=component(inputs={"n": {"parameterType": "STRUCTURELESS", "isOptional": True}}),
    )
    played = Played()
    states, _, error = run(document, played, items=items)
    assert error is None
    assert states["each"] == "SUCCEEDED"
    assert played.order == ["leaf"] * len(items)


EXIT = component(inputs={"status": "TASK_FINAL_STATUS"})
BODY = group({"work": task("fail"), "next": task("none", after=("work",)), "beside": task("none")})


def test_the_exit_task_runs_after_a_failure() -> None:
    """It is told how the body ended; the pipeline has failed all the same."""
    played = Played()
    document = pipeline(
        {
            "exit-handler-1": task("body"),
            "bye": task("bye", status="status.exit-handler-1", after=("exit-handler-1",), always=True),
        },
        body=BODY,
        bye=EXIT,
        fail=NONE,
        none=NONE,
    )
    states, _, error = run(document, played)
    assert states == {
        "run": "FAILED", "exit-handler-1": "FAILED", "work": "FAILED", "next": "NOT_TRIGGERED",
        "beside": "SUCCEEDED", "bye": "SUCCEEDED",
    }  # fmt: skip
    assert (
        error
        == "The DAG failed because some tasks failed. The failed tasks are: [exit-handler-1].; work: it failed"
    )
    assert played.inputs["bye"]["status"] == {
        "state": "FAILED",
        "pipelineJobResourceName": "jobs/run",
        "pipelineTaskName": "exit-handler-1",
        "error": {
            "code": 9,
            "message": "The DAG failed because some tasks failed. The failed tasks are: [work].",
        },
    }


@pytest.mark.parametrize("fail_fast,later", [(False, "SUCCEEDED"), (True, "NOT_TRIGGERED")])
def test_failure_policy(fail_fast: bool, later: str) -> None:
    """Slow: what does not depend on the failure runs. Fast: nothing new is started, what runs may end."""

    async def play(record: Record, inputs: Inputs) -> None:
        if record.name == "slow":
            await asyncio.sleep(0.05)

    document = pipeline(
        {"bad": task("fail"), "slow": task("none"), "later": task("none", after=("slow",))},
        fail=NONE,
        none=NONE,
    )
    states, _, error = run(document, Played(play), fail_fast=fail_fast)
    assert (states["slow"], states["later"]) == ("SUCCEEDED", later)
    assert error is not None


def test_an_exit_task_of_several_runs_whole() -> None:
    """Also where nothing new is to be started after a failure."""
    inner = group({"a": task("none"), "each": loop(task("leaf", after=("a",)), "item", [1, 2])})
    document = pipeline(
        {"body": task("body"), "bye": task("inner", after=("body",), always=True)},
        body=BODY,
        inner=inner,
        leaf=group({"b": task("none")}, inputs={"item": "NUMBER_INTEGER"}),
        fail=NONE,
        none=NONE,
    )
    states, _, _ = run(document, fail_fast=True)
    assert (states["bye"], states["a"], states["b"]) == ("SUCCEEDED", "SUCCEEDED", ["SUCCEEDED"] * 2)


def test_cancelled_tasks_say_so() -> None:
    """What runs and what waits is cancelled; what has ended stays."""
    started = asyncio.Event()

    async def play(record: Record, inputs: Inputs) -> None:
        if record.name == "second":
            started.set()
            await asyncio.sleep(60)

    document = pipeline({"first": task("none"), "second": task("none", after=("first",))}, none=NONE)
    journal, played = Journal(), Played(play)
    order = Order("jobs/run", parse(document), Inputs(), "gs://b", {})

    async def main() -> None:
        going = asyncio.create_task(Run(order, played, journal, lambda: 1.0).go())
        await started.wait()
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going

    asyncio.run(main())
    states = {record.name: record.state for record in journal.records.values()}
    assert states == {"run": "CANCELLED", "first": "SUCCEEDED", "second": "CANCELLED"}


def test_inputs_that_may_be_left_out() -> None:
    """A default fills in; an optional input without one stays away; a required one fails the task."""
    declared = {
        "a": {"parameterType": "NUMBER_INTEGER", "defaultValue": 3.0},
        "b": {"parameterType": "STRING", "isOptional": True},
        "c": "STRING",
    }
    played = Played()
    document = pipeline({"t": task("step", c="x"), "u": task("step")}, step=component(inputs=declared))
    states, _, _ = run(document, played)
    assert played.inputs == {"t": {"a": 3, "c": "x"}}
    assert states["u"] == "FAILED"


def test_a_part_of_a_value() -> None:
    """A selector picks from a struct, also where it came as text."""
    picked = task("echo", n=("a", "Output"))
    picked["inputs"]["parameters"]["n"]["parameterExpressionSelector"] = 'parseJson(string_value)["k"]'
    document = pipeline(
        {"a": task("struct", s={"k": 5}), "b": picked},
        struct=component(inputs={"s": "STRUCT"}, outputs={"Output": "STRUCT"}),
        echo=ECHO,
    )
    played = Played()
    run(document, played)
    assert played.inputs["b"] == {"n": 5}


def test_an_artifact_is_imported() -> None:
    """It has the URI that a parameter says, and the metadata with placeholders filled."""
    importer = {
        "importer": {
            "artifactUri": {"runtimeParameter": "uri"},
            "typeSchema": {"schemaTitle": "system.Dataset"},
            "metadata": {"who": "{{$.inputs.parameters['who']}}"},
        },
        "inputDefinitions": {
            "parameters": {"uri": {"parameterType": "STRING"}, "who": {"parameterType": "STRING"}}
        },
        "outputDefinitions": {"artifacts": {"artifact": {"artifactType": {"schemaTitle": "system.Dataset"}}}},
    }
    got = {}

    async def play(record: Record, inputs: Inputs) -> None:
        got.update(inputs.artifacts)

    document = pipeline(
        {
            "importer": task("importer", uri="gs://b/x.csv", who="me"),
            "use": task("use", artifacts={"data": ("importer", "artifact")}),
        },
        importer=importer,
        use=component(artifacts_in={"data": "system.Dataset"}),
    )
    run(document, Played(play))
    (data,) = got["data"]
    assert (data.uri, dict(data.metadata)) == ("gs://b/x.csv", {"who": "me"})
