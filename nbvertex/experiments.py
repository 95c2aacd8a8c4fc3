"""Parameters and numbers of runs, told to Vertex AI Experiments: here and there alike, where the profile asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbvertex import service
from nbvertex.config import Profile
from nbvertex.patience import Fault, Patience
from nbvertex.vertex import Call, Door

_VERSION = "0.0.1"
_EXPERIMENT, _RUN = "system.Experiment", "system.ExperimentRun"
LOOKS, BETWEEN = 10, 2.0  # for a store that is being made: how often, and seconds between
_STATES = {"done": "COMPLETE", "failed": "FAILED", "interrupted": "CANCELLED"}


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of a run.

    Args:
        run: its id.
        state: how it ended.
        parameters: what it was given.
        metrics: its numbers.
        pipeline_run: the context of a pipeline job, which holds all that by itself; empty: it is no pipeline job.
    """

    run: str
    state: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    pipeline_run: str = ""


def tell(door: Door, patience: Patience, profile: Profile, told: Told) -> str:
    """Put a run into the profile's experiment, which is made where there is none.

    Args:
        door, patience: how the service is asked.
        profile: it names the experiment.
        told: the run.

    Returns:
        the name of what was added.

    Raises:
        Fault: it cannot be told.
    """
    telling = _Telling(door, patience, f"{service.parent(profile)}/metadataStores/default")
    experiment = str(profile.experiment)
    telling.store()
    telling.context(experiment, experiment, _EXPERIMENT, {"experiment_deleted": False})
    child = told.pipeline_run
    if not child:
        ident = f"{experiment}-{told.run}"
        metadata = {
            "_params": {name: _plain(value) for name, value in told.parameters.items()},
            "_metrics": dict(told.metrics),
            "_state": _STATES.get(told.state, "RUNNING"),
        }
        child = telling.context(ident[:128], told.run, _RUN, metadata)
    telling.add(experiment, child)
    return child


class _Telling:
    """Asks the metadata store.

    Args:
        door, patience: how.
        store: its name.
    """

    def __init__(self, door: Door, patience: Patience, store: str) -> None:
        self._door, self._patience, self._store = door, patience, store

    def _ask(self, method: str, **body: Any) -> Mapping[str, Any]:
        call = Call(f"MetadataService.{method}", self._store, body)
        return self._patience.ask(lambda: self._door.ask(call))

    def store(self) -> None:
        """The project's default store, made where there is none; that takes the service a while."""
        if self._is_there():
            return
        parent, _, ident = self._store.partition("/metadataStores/")
        try:
            self._ask("CreateMetadataStore", parent=parent, metadataStore={}, metadataStoreId=ident)
        except Fault as fault:
            if fault.kind != "exists":
                raise
        for _ in range(LOOKS):
            if self._is_there():
                return
            self._patience.sleep(BETWEEN)

    def _is_there(self) -> bool:
        try:
            self._ask("GetMetadataStore", name=self._store)
        except Fault as fault:
            if fault.kind != "missing":
                raise
            return False
        return True

    def context(self, ident: str, shown: str, schema: str, metadata: Mapping[str, Any]) -> str:
        """A context of that id: the one that is there, or a new one; gives its name."""
        name = f"{self._store}/contexts/{ident}"
        said = {
            "displayName": shown,
            "schemaTitle": schema,
            "schemaVersion": _VERSION,
            "metadata": dict(metadata),
        }
        try:
            return str(self._ask("CreateContext", parent=self._store, contextId=ident, context=said)["name"])
        except Fault as fault:
            if fault.kind != "exists":
                raise
            found = self._ask("GetContext", name=name)
            if found.get("schemaTitle") != schema:
                raise Fault("refused", f"{ident} is a {found.get('schemaTitle')}, no {schema}") from fault
            return str(found["name"])

    def add(self, parent: str, child: str) -> None:
        self._ask("AddContextChildren", context=f"{self._store}/contexts/{parent}", childContexts=[child])


def _plain(value: Any) -> float | str:
    """A value as experiments have it: a number or a text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return value if isinstance(value, str) else repr(value)
