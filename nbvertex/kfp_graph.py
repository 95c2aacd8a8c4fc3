"""The tasks of a pipeline for KFP: what comes after what, under which condition, over which list; and the whole document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nbvertex import kfp_spec
from nbvertex.kfp_spec import Component, Spec
from nbvertex.runtime import executor
from nbvertex.travel import Role

_CHANNEL = "pipelinechannel--"
Parts = Mapping[Role, Component]
Source = tuple[str, str]  # the task that makes something, and what it calls it


class Scope:
    """A group of tasks: the whole pipeline, a branch, a loop.

    Args:
        parent: the group that it is in; None: it is the whole.
    """

    def __init__(self, parent: Scope | None = None) -> None:
        self.parent = parent
        self.tasks: dict[str, Any] = {}
        self._artifacts: dict[str, Source] = {}
        self._parameters: dict[str, tuple[str, Source]] = {}

    def artifact(self, source: Source, after: set[str]) -> dict[str, Any]:
        """Where a task of this group has an artifact from.

        Args:
            source: who makes it.
            after: takes the tasks of this group that must have ended before.
        """
        producer, key = source
        if self.parent is None or producer in self.tasks:
            after.add(producer)
            return {"taskOutputArtifact": {"outputArtifactKey": key, "producerTask": producer}}
        channel = f"{_CHANNEL}{producer}-{key}"
        self._artifacts[channel] = source
        return {"componentInputArtifact": channel}

    def parameter(self, source: Source, kind: str, after: set[str]) -> dict[str, Any]:
        """Where a task of this group has a parameter from; a source without a task is an input of the pipeline."""
        producer, key = source
        if producer and (self.parent is None or producer in self.tasks):
            after.add(producer)
            return {"taskOutputParameter": {"outputParameterKey": key, "producerTask": producer}}
        if self.parent is None:
            return {"componentInputParameter": key}
        channel = f"{_CHANNEL}{producer}-{key}" if producer else f"{_CHANNEL}{key}"
        self._parameters[channel] = kind, source
        return {"componentInputParameter": channel}

    def as_task(self, name: str, **more: Any) -> dict[str, Any]:
        """This group as a task of the group that it is in."""
        assert self.parent is not None
        after: set[str] = set()
        artifacts = {
            channel: self.parent.artifact(source, after) for channel, source in self._artifacts.items()
        }
        parameters = {
            channel: self.parent.parameter(source, kind, after)
            for channel, (kind, source) in self._parameters.items()
        }
        inputs = {"artifacts": artifacts, "parameters": parameters}
        said: dict[str, Any] = {"taskInfo": {"name": name}, "componentRef": {"name": f"comp-{name}"}, **more}
        if artifacts or parameters:
            said["inputs"] = {key: value for key, value in inputs.items() if value}
        if after:
            said["dependentTasks"] = sorted(after)
        return said

    def as_component(
        self, outputs: Mapping[str, list[Source]], *, more: Mapping[str, str], lists: bool
    ) -> dict[str, Any]:
        """This group as a component.

        Args:
            outputs: name of an artifact that it gives -> who of its tasks may make it.
            more: further parameters that go in, with their types.
            lists: it is a loop, so that each of them is a list.
        """
        parameters = {channel: {"parameterType": kind} for channel, (kind, _) in self._parameters.items()}
        parameters |= {name: {"parameterType": kind} for name, kind in more.items()}
        inputs = {
            "artifacts": {channel: kfp_spec.schema("Artifact") for channel in self._artifacts},
            "parameters": parameters,
        }
        listed = {"isArtifactList": True} if lists else {}
        chosen = {
            name: {
                "artifactSelectors": [
                    {"outputArtifactKey": key, "producerSubtask": task} for task, key in sources
                ]
            }
            for name, sources in outputs.items()
        }
        return {
            "dag": {"tasks": self.tasks, "outputs": {"artifacts": chosen}},
            "inputDefinitions": {key: value for key, value in inputs.items() if value},
            "outputDefinitions": {
                "artifacts": {name: {**kfp_spec.schema("Artifact"), **listed} for name in outputs}
            },
        }


class Graph:
    """The tasks of a pipeline.

    Args:
        spec: the pipeline as components.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.root = Scope()
        self.groups: dict[str, Any] = {}  # the components that are groups
        self._made = 0
        self._states: dict[str, Source] = {}  # name of a step -> who makes what it leaves
        self._types = {one.name: kfp_spec.parameter_type(one) for one in spec.pipeline.parameters}
        for name, parts in spec.steps.items():
            self._states[name] = self._step(parts)

    def _number(self) -> int:
        self._made += 1
        return self._made

    def _step(self, parts: Parts) -> Source:
        """Add a step; gives who makes what it leaves."""
        if "decide" not in parts:
            return self._run(self.root, parts, None)
        decide = parts["decide"]
        self._task(self.root, decide)
        holds = decide.names.task, executor.HOLDS
        branches = f"condition-branches-{self._number()}"
        outer = Scope(self.root)
        made: list[Source] = []
        said = f"inputs.parameter_values['{_CHANNEL}{holds[0]}-{holds[1]}'] == true"
        for condition, skipped in ((said, False), (f"!({said})", True)):
            inner = Scope(outer)
            inner.parameter(holds, "BOOLEAN", set())
            source = self._task(inner, parts["skip"]) if skipped else self._run(inner, parts, holds)
            name = f"condition-{self._number()}"  # after the loops in it, as kfp counts
            outer.tasks[name] = inner.as_task(name, triggerPolicy={"condition": condition})
            made.append((name, self._group(name, inner, {_name_of(source): [source]})))
        key = f"{_CHANNEL}{branches}-oneof-1"
        self.root.tasks[branches] = outer.as_task(branches)
        self._group(branches, outer, {key: made})
        return branches, key

    def _run(self, scope: Scope, parts: Parts, holds: Source | None) -> Source:
        """Add a step to a group, over its list if it has one."""
        if "run" in parts:
            return self._task(scope, parts["run"])
        items = parts["round"].part.items
        lister = lists(parts)
        if "list" in parts:
            self._task(scope, parts["list"])
        if lister is not None:
            source = lister.names.task, executor.ITEMS
            channel = f"{_CHANNEL}{source[0]}-{source[1]}"
            item = f"{channel}-loop-item"
            iterated: dict[str, Any] = {"inputParameter": channel}
        else:
            item = f"{_CHANNEL}loop-item-param-{self._number()}"
            iterated = {"raw": json.dumps(list(items))}
        loop = f"for-loop-{self._number()}"
        inner = Scope(scope)
        if lister is not None:
            inner.parameter(source, "LIST", set())
        if holds is not None:
            inner.parameter(holds, "BOOLEAN", set())
        made = self._task(inner, parts["round"], item=item)
        scope.tasks[loop] = inner.as_task(loop, parameterIterator={"itemInput": item, "items": iterated})
        key = self._group(loop, inner, {_name_of(made): [made]}, {item: "STRING"}, lists=True)
        return self._task(scope, parts["gather"], rounds=(loop, key))

    def _group(
        self,
        name: str,
        scope: Scope,
        outputs: Mapping[str, list[Source]],
        more: Mapping[str, str] | None = None,
        *,
        lists: bool = False,
    ) -> str:
        """Add a group's component; gives the name of what it makes."""
        self.groups[f"comp-{name}"] = scope.as_component(outputs, more=more or {}, lists=lists)
        return next(iter(outputs))

    def _task(
        self, scope: Scope, component: Component, *, item: str = "", rounds: Source | None = None
    ) -> Source:
        """Add a component to a group; gives what it leaves."""
        after: set[str] = set()
        artifacts = {
            name: scope.artifact(self._states[step], after) for name, step in component.before.items()
        }
        if rounds is not None:
            artifacts[executor.ROUNDS] = scope.artifact(rounds, after)
        parameters = {
            given: scope.parameter(("", name), self._types[name], after)
            for name, given in component.inputs.items()
        }
        if item:
            parameters[executor.ITEM] = {"componentInputParameter": item}
        said: dict[str, Any] = {
            "taskInfo": {"name": component.shown},
            "componentRef": {"name": f"comp-{component.names.task}"},
            "cachingOptions": {"enableCache": True} if component.cached else {},
        }
        inputs = {"artifacts": artifacts, "parameters": parameters}
        if artifacts or parameters:
            said["inputs"] = {key: value for key, value in inputs.items() if value}
        if after:
            said["dependentTasks"] = sorted(after)
        if component.step.options.retries:
            said["retryPolicy"] = {"maxRetryCount": component.step.options.retries, **kfp_spec.BACKOFF}
        scope.tasks[component.names.task] = said
        return component.names.task, executor.STATE


def lists(parts: Parts) -> Component | None:
    """The component that lists what a step runs over; None where that is known beforehand."""
    return next((one for one in parts.values() if executor.ITEMS in one.answers), None)


def _name_of(source: Source) -> str:
    return f"{_CHANNEL}{source[0]}-{source[1]}"


def document(spec: Spec) -> dict[str, Any]:
    """The pipeline as KFP v2 IR, as plain data."""
    graph = Graph(spec)
    inputs = {one.name: kfp_spec.parameter_input(one) for one in spec.pipeline.parameters}
    root: dict[str, Any] = {"dag": {"tasks": graph.root.tasks}}
    if inputs:
        root["inputDefinitions"] = {"parameters": inputs}
    components = {f"comp-{one.names.task}": kfp_spec.definition(one) for one in spec.components}
    executors = {
        f"exec-{one.names.task}": {"container": kfp_spec.container(spec, one)} for one in spec.components
    }
    return {
        "components": {**components, **graph.groups},
        "deploymentSpec": {"executors": executors},
        "pipelineInfo": {"name": spec.name, "description": kfp_spec.description(spec)},
        "root": root,
        "schemaVersion": "2.1.0",
        "sdkVersion": kfp_spec.SDK,
    }
