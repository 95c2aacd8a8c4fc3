"""The door with Google's own clients behind it: each answer of a service becomes the fault that it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from nbvertex import experiments, readiness, service
from nbvertex.config import Profile
from nbvertex.patience import Fault, Patience
from nbvertex.profiles import EMULATED
from nbvertex.vertex import Call, Google, Upload

PARENT = "projects/test-project/locations/us-central1"
PROFILE = Profile(
    project="test-project",
    region="us-central1",
    bucket="gs://test-bucket",
    service_account="runner@test-project.iam.gserviceaccount.com",
)


@pytest.fixture
def door(emulator: Any) -> Google:
    """To the emulator, by the environment alone."""
    return Google("test-project", "us-central1")


ASKED = {
    "pipelines": (
        "PipelineService.ListPipelineJobs",
        Call("PipelineService.ListPipelineJobs", body={"parent": PARENT}),
    ),
    "log": (
        "*ListLogEntries",
        Call(f"POST {service.LOGS}", body={"resourceNames": ["projects/test-project"]}),
    ),
}
STATUSES = [
    ("INVALID_ARGUMENT", "refused"), ("UNAUTHENTICATED", "credentials"), ("PERMISSION_DENIED", "refused"), ("NOT_FOUND", "missing"),
    ("ALREADY_EXISTS", "exists"), ("RESOURCE_EXHAUSTED", "busy"), ("INTERNAL", "unsure"), ("UNAVAILABLE", "unsure"),
    ("DEADLINE_EXCEEDED", "unsure"),
]  # fmt: skip


@pytest.mark.parametrize("status, kind", STATUSES)
@pytest.mark.parametrize("what", ASKED)
def test_each_status_is_its_fault(
    what: str, status: str, kind: str, door: Google, faults: Callable[..., Any]
) -> None:
    """Through the client of Vertex AI and over plain HTTPS alike; nothing but a 401 is asked twice behind our back."""
    method, call = ASKED[what]
    faults(method=method, status=status, count=3 if (what, status) == ("pipelines", "UNAUTHENTICATED") else 1)
    with pytest.raises(Fault) as caught:
        door.ask(call)
    assert caught.value.kind == kind
    assert isinstance(door.ask(call), dict)  # the one fault was spent on the one call


@pytest.mark.parametrize("what", ASKED)
def test_a_lost_reply_leaves_it_open(what: str, door: Google, faults: Callable[..., Any]) -> None:
    """Nobody knows whether it was done."""
    method, call = ASKED[what]
    faults(method=method, drop=True, count=1)
    with pytest.raises(Fault) as caught:
        door.ask(call)
    assert caught.value.kind == "unsure"


@pytest.mark.parametrize(
    "status, kind",
    [("UNAVAILABLE", "unsure"), ("PERMISSION_DENIED", "refused")],
)
def test_storage_has_the_same_faults(
    status: str, kind: str, door: Google, faults: Callable[..., Any]
) -> None:
    """Uploads and downloads, without the retries of its client."""
    faults(method="Storage.GetObject", status=status, count=1)
    with pytest.raises(Fault) as caught:
        door.put(Upload("test-bucket", f"faults/{status}", b"x"))
    assert caught.value.kind == kind
    assert door.put(Upload("test-bucket", f"faults/{status}", b"x"))
    faults(method="Storage.GetObject", status=status, count=1)
    with pytest.raises(Fault):
        door.read(f"gs://test-bucket/faults/{status}")
    assert door.read(f"gs://test-bucket/faults/{status}") == b"x"


def test_what_the_client_does_not_know_is_not_sent(door: Google) -> None:
    """It checks each field by its own description of the service."""
    call = service.create("pipeline", PARENT, {"displayName": "x", "colour": "red"}, "it-1")
    with pytest.raises(Fault, match="colour") as caught:
        door.ask(call)
    assert caught.value.kind == "refused"


def test_an_expired_token_is_renewed(door: Google, emulator: Any) -> None:
    """What was fetched before is refused; with new credentials the same door goes on."""
    call = ASKED["log"][1]
    door.ask(call)
    emulator.expire_tokens()
    assert isinstance(Patience(10.0, refresh=door.refresh).ask(lambda: door.ask(call)), dict)


def test_an_account_may_stand_in(emulator: Any) -> None:
    """With `impersonate`, the service sees that account."""
    emulator.forget_calls()
    submitter = "submitter@test-project.iam.gserviceaccount.com"
    Google("test-project", "us-central1", submitter).ask(ASKED["pipelines"][1])
    made = emulator.calls("PipelineService.ListPipelineJobs")
    assert [call["identity"] for call in made] == [submitter]


def test_all_is_ready_for_a_first_submission(door: Google) -> None:
    """Nothing that doctor looks at is wrong at the emulator."""
    found = list(readiness.Looking(door, Patience(10.0), PROFILE).all())
    assert [one for one in found if one.state == "wrong"] == []
    assert {one.name for one in found} >= {
        "project",
        "Vertex AI",
        "bucket",
        "service account",
        "acting as it",
    }


def test_roles_that_were_granted_are_seen(door: Google) -> None:
    """As `gcloud projects add-iam-policy-binding` grants them."""
    member = f"serviceAccount:{PROFILE.service_account}"
    bindings = [{"role": role, "members": [member]} for role, _ in readiness.OF_STEPS]
    url = "https://cloudresourcemanager.googleapis.com/v3/projects/test-project:setIamPolicy"
    door.ask(Call(f"POST {url}", body={"policy": {"bindings": bindings}}))
    found = {one.name: one.state for one in readiness.Looking(door, Patience(10.0), PROFILE).all()}
    assert found["role aiplatform.user"] == found["role logging.logWriter"] == "ok"


def test_a_name_that_is_no_experiment_is_not_taken_for_one(door: Google) -> None:
    """What is there under that name is left as it is."""
    store = f"{PARENT}/metadataStores/default"
    profile = Profile(project="test-project", region="us-central1", experiment="first")
    experiments.tell(door, Patience(10.0), profile, experiments.Told("r-1", "done"))  # makes the store
    body = {
        "parent": store,
        "contextId": "other",
        "context": {"schemaTitle": "system.Pipeline", "schemaVersion": "0.0.1"},
    }
    door.ask(Call("MetadataService.CreateContext", body=body))
    profile = dataclasses.replace(profile, experiment="other")
    with pytest.raises(Fault, match="no system.Experiment"):
        experiments.tell(door, Patience(10.0), profile, experiments.Told("r-1", "done"))


def test_the_profile_of_the_emulator_is_complete() -> None:
    """A submission needs no more than that."""
    assert None not in (EMULATED.project, EMULATED.region, EMULATED.bucket, EMULATED.service_account)
