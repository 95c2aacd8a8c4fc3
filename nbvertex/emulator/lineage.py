"""What runs leave in the metadata store: artifacts, executions, the contexts of a pipeline and of its runs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from nbvertex.emulator.metadata_store import link
from nbvertex.emulator.schema import Message
from nbvertex.emulator.tasks import Artifact, Record, new_id
from nbvertex.emulator.world import World

VERSION = "0.0.1"
KINDS = {
    "dag": "system.DagExecution",
    "container": "system.ContainerExecution",
    "importer": "system.ImporterExecution",
}


class Lineage:
    """A run's part of the metadata store.

    Args:
        world: the emulator.
        location: `projects/P/locations/L`.
        pipeline: the pipeline's name.
        run: the run's id.
        labels: the run's.
    """

    def __init__(
        self, world: World, location: str, pipeline: str, run: str, labels: Mapping[str, str]
    ) -> None:
        self._world = world
        self._store = world.store.canonical(f"{location}/metadataStores/default")
        self._kept: set[str] = set()
        if world.store.find(self._store) is None:
            self._put("MetadataStore", self._store)
        self.pipeline = self._context(pipeline, "system.Pipeline", {})
        self.run = self._context(run, "system.PipelineRun", labels)
        self._link("parent", self.pipeline.name, self.run.name)

    def artifact_name(self) -> str:
        """A resource name for a new artifact."""
        return f"{self._store}/artifacts/{new_id()}"

    def imported(self, uri: str, schema: Mapping[str, str]) -> str | None:
        """The name of an artifact of that type that lies there already, or None."""
        title = schema_title(schema)
        for known in self._world.store.children(self._store, "artifacts"):
            if known.uri == uri and known.schema_title == title:
                return str(known.name)
        return None

    def message(self, artifact: Artifact) -> Message:
        """An artifact as a job shows it."""
        message = self._message(
            "Artifact",
            name=artifact.name,
            uri=artifact.uri,
            display_name=artifact.uri.rstrip("/").rpartition("/")[2],
            schema_title=schema_title(artifact.type),
            schema_version=artifact.type.get("schemaVersion", VERSION),
            state="LIVE",
        )
        message.metadata.update(finite(dict(artifact.metadata)))
        return message

    def execution(self, record: Record, state: str) -> Message:
        """Keep a task's execution with what went in and came out.

        Returns:
            the execution.
        """
        name = f"{self._store}/executions/{record.id}"
        schema = "system.Run" if record.parent is None else KINDS[record.kind]
        execution = self._put("Execution", name, display_name=record.name, schema_title=schema, state=state)
        metadata = {f"input:{key}": value for key, value in record.parameters.items()}
        metadata.update({f"output:{key}": value for key, value in record.outputs.parameters.items()})
        execution.metadata.update(finite(metadata))
        self._world.store.put(execution)
        self._link("member", self.run.name, name)
        for kind, held in (("INPUT", record.artifacts), ("OUTPUT", record.outputs.artifacts)):
            if record.kind == "dag" or (kind == "OUTPUT" and record.ended is None):
                continue
            for artifact in (one for artifacts in held.values() for one in artifacts):
                self._keep(artifact)
                self._link("event", name, artifact.name, {"type": kind})
        return execution

    def state_of(self, execution: Message) -> str:
        """The name of an execution's state."""
        kind = execution.DESCRIPTOR.fields_by_name["state"].enum_type
        return str(kind.values_by_number[execution.state].name)

    def _keep(self, artifact: Artifact) -> None:
        if artifact.name in self._kept:
            return
        self._kept.add(artifact.name)
        if self._world.store.find(artifact.name) is None:
            message = self.message(artifact)
            self._world.crud.stamp(message, "create_time", "update_time")
            self._world.store.put(message)
        self._link("member", self.run.name, artifact.name)

    def _context(self, ident: str, schema: str, labels: Mapping[str, str]) -> Message:
        name = f"{self._store}/contexts/{re.sub(r'[^a-z0-9-]', '-', ident.lower())}"
        known = self._world.store.find(name)
        if known is not None:
            return known
        return self._put("Context", name, display_name=ident, schema_title=schema, labels=dict(labels))

    def _put(self, kind: str, name: str, **fields: Any) -> Message:
        known = self._world.store.find(name)
        message = self._message(kind, name=name, **fields)
        if "schema_version" in message.DESCRIPTOR.fields_by_name:
            message.schema_version = VERSION
        self._world.crud.stamp(message, "create_time", "update_time")
        if known is not None:
            message.create_time.CopyFrom(known.create_time)
        return self._world.store.put(message)

    def _link(self, kind: str, source: str, target: str, said: Mapping[str, str] | None = None) -> None:
        link(self._world.store, kind, source, target, dict(said) if said else None)

    def _message(self, kind: str, **fields: Any) -> Message:
        return self._world.schema.message(f"google.cloud.aiplatform.v1.{kind}")(**fields)


def finite(value: Any) -> Any:
    """The value with numbers that JSON has not (NaN, infinities) as their names."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return value


def schema_title(schema: Mapping[str, str]) -> str:
    """The title of an artifact's type, also where the pipeline gives the type's whole schema."""
    if "schemaTitle" in schema:
        return schema["schemaTitle"]
    found = re.search(r"^title:\s*(?:kfp\.)?(\S+)", schema.get("instanceSchema", ""), re.MULTILINE)
    return found[1] if found else "system.Artifact"
