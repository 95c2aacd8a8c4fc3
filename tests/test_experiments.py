"""A run is told to an experiment as Google's own client tells it; what goes wrong there is a warning and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from service import Clock

from nbvertex import experiments
from nbvertex.actions import telling
from nbvertex.config import Profile, Settings
from nbvertex.events import RunResult, StepResult
from nbvertex.patience import Fault, Patience
from nbvertex.vertex import Call

PROFILE = Profile(project="p-q", region="us-central1", experiment="rates")
STORE = "projects/p-q/locations/us-central1/metadataStores/default"


class Metadata:
    """A metadata store of dictionaries.

    Args:
        contexts: what is there; None: not even the store.
        wrong: a part of a method -> what is raised.
    """

    def __init__(self, contexts: dict[str, str] | None = None, wrong: dict[str, Fault] | None = None) -> None:
        self.contexts, self.wrong = contexts, wrong or {}
        self.made: dict[str, Any] = {}
        self.children: list[tuple[str, str]] = []

    def ask(self, call: Call) -> dict[str, Any]:
        method, body = call.method.partition(".")[2], call.body
        for part, fault in self.wrong.items():
            if part in method:
                raise fault
        if method == "CreateMetadataStore":
            self.contexts = {}
        elif self.contexts is None:
            raise Fault("missing", "no store")
        elif method == "CreateContext":
            name = f"{STORE}/contexts/{body['contextId']}"
            if name in self.contexts:
                raise Fault("exists", "it is there")
            self.contexts[name], self.made[body["contextId"]] = (
                body["context"]["schemaTitle"],
                body["context"],
            )
            return {"name": name}
        elif method == "GetContext":
            return {"name": body["name"], "schemaTitle": self.contexts[body["name"]]}
        elif method == "AddContextChildren":
            self.children += [(body["context"], child) for child in body["childContexts"]]
        return {}

    def refresh(self) -> None:
        """Nothing is kept."""


def tell(store: Metadata, told: experiments.Told) -> str:
    """What is told."""
    clock = Clock()
    door: Any = store
    return experiments.tell(door, Patience(5.0, now=clock.now, sleep=clock.sleep), PROFILE, told)


@pytest.mark.parametrize("there", [None, {}, {f"{STORE}/contexts/rates": "system.Experiment"}])
def test_a_run_is_a_context_below_the_experiment(there: dict[str, str] | None) -> None:
    """The store and the experiment are made where they are not there."""
    store = Metadata(there)
    told = experiments.Told("r-1", "done", {"n": 3, "name": "x", "all": [1], "yes": True}, {"loss/test": 0.5})
    tell(store, told)
    run = store.made["rates-r-1"]
    assert (run["schemaTitle"], run["displayName"]) == ("system.ExperimentRun", "r-1")
    assert run["metadata"] == {
        "_params": {"n": 3, "name": "x", "all": "[1]", "yes": "True"}, "_metrics": {"loss/test": 0.5}, "_state": "COMPLETE"
    }  # fmt: skip
    assert store.children == [(f"{STORE}/contexts/rates", f"{STORE}/contexts/rates-r-1")]


def test_a_pipeline_run_is_put_there_as_it_is() -> None:
    """The service has its parameters and metrics already."""
    store = Metadata({})
    tell(store, experiments.Told("r-1", "done", pipeline_run=f"{STORE}/contexts/it-1"))
    assert list(store.made) == ["rates"]
    assert store.children == [(f"{STORE}/contexts/rates", f"{STORE}/contexts/it-1")]


def settings(**fields: Any) -> Settings:
    """Settings whose profile is in use."""
    return Settings(file=Path("nbvertex.toml"), profile="dev", profiles={"dev": Profile(**fields)})


RESULT = RunResult(run="r-1", state="done", started=1.0, ended=2.0, parameters={"n": 3},
                   steps={"a": StepResult(name="a", state="done", measures={"acc": 0.5})})  # fmt: skip


def test_a_run_here_is_told_with_its_numbers() -> None:
    """Of all its steps."""
    store: Any = Metadata({})
    held = settings(project="p-q", region="us-central1", experiment="rates")
    assert telling.of_run(held, RESULT, store) is None
    assert store.made["rates-r-1"]["metadata"]["_metrics"] == {"acc": 0.5}


def test_no_experiment_is_no_call() -> None:
    """Without one in the profile, or without a profile."""
    assert telling.of_run(settings(project="p-q"), RESULT) is None
    assert telling.of_run(Settings(), RESULT) is None


@pytest.mark.parametrize("method", ["GetMetadataStore", "CreateContext", "AddContextChildren"])
@pytest.mark.parametrize("kind", ["refused", "credentials"])
def test_what_goes_wrong_is_a_warning(method: str, kind: Any) -> None:
    """It names the experiment and the reason."""
    store: Any = Metadata({}, {method: Fault(kind, "for a reason")})
    held = settings(project="p-q", region="us-central1", experiment="rates")
    said = telling.of_run(held, RESULT, store)
    assert said == "warning: the experiment rates was not told of this run: for a reason"


def test_a_profile_that_says_too_little_is_a_warning() -> None:
    """The run has ended, and is not undone by it."""
    said = telling.of_run(settings(experiment="rates", project=None, region=None), RESULT)
    assert said is not None
    assert said.startswith("warning: the experiment rates was not told")
