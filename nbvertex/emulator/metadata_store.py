"""Vertex ML Metadata: contexts, executions, artifacts, the links between them, and what is asked about them.

Links are rows, the one truth: `parent` (context, child context), `member` (context, artifact or execution) and `event`
(execution, artifact). The field `parent_contexts` is filled from them whenever a context is read.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from typing import Any

from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.filters import Filter
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schema import Message, as_json, from_json
from nbvertex.emulator.store import Store
from nbvertex.emulator.world import World

MOST_HOPS = 100
CHILDREN_OF = {"Artifact": "artifacts", "Context": "contexts", "Execution": "executions"}


class MetadataStore:
    """The metadata of all projects.

    Args:
        world: the emulator.
    """

    def __init__(self, world: World) -> None:
        self._world, self._store = world, world.store
        world.crud.functions["in_context"] = self._in_context

    def serve(self, table: Table) -> None:
        """Answer what concerns links and lineage; the rest is as for every resource."""
        table.serve(
            "MetadataService",
            GetContext=lambda call: self._whole(self._store.get(call.request.name)),
            ListContexts=self._contexts,
            CreateContext=lambda call: self._create(call, "Context"),
            CreateArtifact=lambda call: self._create(call, "Artifact"),
            CreateExecution=lambda call: self._create(call, "Execution"),
            AddContextArtifactsAndExecutions=self._add_members,
            AddContextChildren=self._add_children,
            RemoveContextChildren=self._remove_children,
            AddExecutionEvents=self._add_events,
            QueryContextLineageSubgraph=self._of_context,
            QueryExecutionInputsAndOutputs=self._of_execution,
            QueryArtifactLineageSubgraph=self._of_artifact,
            PurgeArtifacts=lambda call: self._purge(call, "Artifact"),
            PurgeContexts=lambda call: self._purge(call, "Context"),
            PurgeExecutions=lambda call: self._purge(call, "Execution"),
        )

    def _create(self, call: Call, kind: str) -> Message:
        self._store.get(call.request.parent)
        with self._store.transaction():
            made = self._world.crud.create(call)
            if kind != "Context":
                return made
            for parent in made.parent_contexts:
                link(self._store, "parent", self._store.get(parent).name, made.name)
        return self._whole(made)

    def _whole(self, context: Message) -> Message:
        """A context with its parents."""
        context.parent_contexts[:] = [row[0] for row in sources(self._store, "parent", context.name)]
        return context

    def _contexts(self, call: Call) -> Message:
        found = self._store.children(call.request.parent, "contexts")
        return self._world.crud.list(call, [self._whole(context) for context in found])

    def _in_context(self, names: list[str], message: Any) -> bool:
        """The filter's `in_context("NAME")`: the context itself says who its members are."""
        held = {row[0] for row in sources(self._store, "member", message.name)}
        return any(self._store.canonical(name) in held for name in names)

    def _add_members(self, call: Call) -> Message:
        context = self._store.get(call.request.context)
        with self._store.transaction():
            for name in (*call.request.artifacts, *call.request.executions):
                link(self._store, "member", context.name, self._store.get(name).name)
        return call.reply()

    def _add_children(self, call: Call) -> Message:
        context = self._store.get(call.request.context)
        with self._store.transaction():
            for child in call.request.child_contexts:
                name = self._store.get(child).name
                if name == context.name or context.name in self._below(name):
                    raise ApiError("INVALID_ARGUMENT", f"Context {name} cannot be a child of itself.")
                link(self._store, "parent", context.name, name)
        return call.reply()

    def _below(self, name: str) -> set[str]:
        """All contexts below one."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            for child, _ in targets(self._store, "parent", waiting.pop()):
                if child not in found:
                    found.add(child)
                    waiting.append(child)
        return found

    def _remove_children(self, call: Call) -> Message:
        parent = self._store.canonical(call.request.context)
        for child in call.request.child_contexts:
            self._store.execute(
                "DELETE FROM links WHERE kind = 'parent' AND source = ? AND target = ?",
                (parent, self._store.canonical(child)),
            )
        return call.reply()

    def _add_events(self, call: Call) -> Message:
        execution = self._store.get(call.request.execution)
        with self._store.transaction():
            for event in call.request.events:
                artifact = self._store.get(event.artifact)
                said = {key: value for key, value in as_json(event).items() if key in ("type", "labels")}
                if "type" not in said:
                    raise ApiError("INVALID_ARGUMENT", "An event must have a type.")
                link(self._store, "event", execution.name, artifact.name, said)
        return call.reply()

    def _of_context(self, call: Call) -> Message:
        context = self._store.get(call.request.context)
        names = [row[0] for row in targets(self._store, "member", context.name)]
        held = {name for name in names if "/executions/" in name}
        events = [event for name in sorted(held) for event in self._events_of(name)]
        return self._graph(call, {*names, *(event[1] for event in events)}, events)

    def _of_execution(self, call: Call) -> Message:
        execution = self._store.get(call.request.execution)
        events = self._events_of(execution.name)
        return self._graph(call, {execution.name, *(event[1] for event in events)}, events)

    def _of_artifact(self, call: Call) -> Message:
        """Executions and artifacts around an artifact, up to `max_hops` of either kind away."""
        start = self._store.get(call.request.artifact).name
        hops = call.request.max_hops or MOST_HOPS
        if not 0 <= hops <= MOST_HOPS:
            raise ApiError("INVALID_ARGUMENT", f"max_hops must be at most {MOST_HOPS}.")
        test = Filter(call.request.filter, functions=self._world.crud.functions, same=self._store.canonical)
        far, waiting, events = {start: 0}, deque([start]), set()
        while waiting:
            name = waiting.popleft()
            if far[name] == hops:
                continue
            for event in self._events_of(name) if "/executions/" in name else self._events_at(name):
                other = event[1] if "/executions/" in name else event[0]
                if other not in far and "/artifacts/" in other and not test(self._store.get(other)):
                    continue
                events.add(event)
                if other not in far:
                    far[other] = far[name] + 1
                    waiting.append(other)
        return self._graph(call, far, sorted(events))

    def _events_of(self, execution: str) -> list[tuple[str, str, str]]:
        return [(execution, artifact, said) for artifact, said in targets(self._store, "event", execution)]

    def _events_at(self, artifact: str) -> list[tuple[str, str, str]]:
        return [(execution, artifact, said) for execution, said in sources(self._store, "event", artifact)]

    def _graph(self, call: Call, names: Iterable[str], events: Iterable[tuple[str, str, str]]) -> Message:
        graph = call.reply()
        for name in sorted(names):
            found = self._store.find(name)
            if found is not None:
                (graph.executions if "/executions/" in name else graph.artifacts).append(found)
        for execution, artifact, said in events:
            from_json({"execution": execution, "artifact": artifact, **json.loads(said)}, graph.events.add())
        return graph

    def _purge(self, call: Call, kind: str) -> Message:
        test = Filter(call.request.filter, functions=self._world.crud.functions, same=self._store.canonical)
        found = [m for m in self._store.children(call.request.parent, CHILDREN_OF[kind]) if test(m)]
        if call.request.force:
            for message in found:
                self._store.delete(message.name)
        reply = call.new(f"Purge{kind}sResponse", purge_count=len(found))
        if not call.request.force:
            reply.purge_sample.extend([message.name for message in found[:100]])
        return self._world.operations.done(call, reply, call.request.parent)


def link(store: Store, kind: str, source: str, target: str, said: object = None) -> None:
    """Link two resources; a link that is there stays as it is."""
    data = json.dumps(said or {}, sort_keys=True)
    store.execute(
        "INSERT OR IGNORE INTO links (kind, source, target, data) VALUES (?, ?, ?, ?)",
        (kind, source, target, data),
    )


def targets(store: Store, kind: str, source: str) -> list[tuple[str, str]]:
    """Where the links of a resource lead, with what is said of each."""
    return [
        (t, d)
        for t, d in store.rows(
            "SELECT target, data FROM links WHERE kind = ? AND source = ? ORDER BY target", (kind, source)
        )
    ]


def sources(store: Store, kind: str, target: str) -> list[tuple[str, str]]:
    """Where the links to a resource come from, with what is said of each."""
    return [
        (s, d)
        for s, d in store.rows(
            "SELECT source, data FROM links WHERE kind = ? AND target = ? ORDER BY source", (kind, target)
        )
    ]


def serve(world: World, table: Table) -> None:
    """Register Vertex ML Metadata."""
    MetadataStore(world).serve(table)
