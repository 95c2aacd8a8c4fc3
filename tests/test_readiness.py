"""What a first submission needs: each thing that may be missing is named, with the command that mends it."""

from __future__ import annotations

from typing import Any

import pytest
from service import Clock

from nbvertex.config import Profile
from nbvertex.patience import Fault, Patience
from nbvertex.readiness import Finding, Looking, covers
from nbvertex.vertex import Call

PROFILE = Profile(
    project="my-project",
    region="europe-west4",
    bucket="gs://my-bucket/some",
    service_account="runner@my-project.iam.gserviceaccount.com",
)
MEMBER = f"serviceAccount:{PROFILE.service_account}"
DISABLED = "Cloud Logging API has not been used in project 1 before or it is disabled."


class Cloud:
    """Answers each address; what it is given instead of an answer is raised.

    Args:
        wrong: a part of an address -> the answer in the place of the good one.
    """

    def __init__(self, wrong: dict[str, Any] | None = None) -> None:
        self.wrong = wrong or {}

    def ask(self, call: Call) -> dict[str, Any]:
        for part, said in self.wrong.items():
            if part in call.method:
                if isinstance(said, Fault):
                    raise said
                found: dict[str, Any] = said
                return found
        if "estIamPermissions" in call.method or "testPermissions" in call.method:
            asked = call.body.get("permissions") or [
                part.removeprefix("permissions=") for part in call.method.partition("?")[2].split("&")
            ]
            return {"permissions": asked}
        if "olicy" in call.method:
            return {
                "bindings": [
                    {"role": role, "members": [MEMBER]}
                    for role in ("roles/aiplatform.user", "roles/logging.logWriter")
                ]
            }
        if call.method.endswith("/iam"):
            return {"bindings": [{"role": "roles/storage.objectAdmin", "members": [MEMBER]}]}
        if "/b/" in call.method:
            return {"projectNumber": "1", "location": "EUROPE-WEST4"}
        return {"name": "projects/1"}

    def refresh(self) -> None:
        """Nothing is kept."""


def look(wrong: dict[str, Any] | None = None, profile: Profile = PROFILE) -> list[Finding]:
    """What is found."""
    clock = Clock()
    cloud: Any = Cloud(wrong)
    return list(Looking(cloud, Patience(5.0, now=clock.now, sleep=clock.sleep), profile).all())


def test_all_is_well() -> None:
    """Nothing to mend."""
    found = look()
    assert {one.state for one in found} == {"ok"}
    assert [one.mend for one in found if one.mend] == []


REFUSED, MISSING = Fault("refused", "permission denied"), Fault("missing", "not found")
CASES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "logged out": ({"/v3/projects/": Fault("credentials", "none")}, "credentials", "none", "gcloud auth application-default login"),
    "no project": ({"/v3/projects/my-project": REFUSED}, "project", "denied", "gcloud projects describe my-project"),
    "API": ({"PipelineService": Fault("refused", DISABLED)}, "Vertex AI", "aiplatform.googleapis.com is not enabled",
            "gcloud services enable aiplatform.googleapis.com --project=my-project"),
    "out of reach": ({"PipelineService": Fault("unsure", "no route")}, "Vertex AI", "no route", ""),
    "roles": ({":testIamPermissions": {"permissions": []}}, "your roles", "lacks aiplatform.", "roles/aiplatform.user"),
    "no bucket": ({"/b/my-bucket": MISSING}, "bucket", "no gs://my-bucket", "gcloud storage buckets create gs://my-bucket --location=europe-west4"),
    "another's bucket": ({"/b/my-bucket": {"projectNumber": "2", "location": "EU"}}, "bucket", "another project", "create"),
    "bucket elsewhere": ({"/b/my-bucket": {"projectNumber": "1", "location": "US-EAST1"}}, "bucket", "is in us-east1", "create"),
    "no writing": ({"testPermissions": {"permissions": ["storage.objects.get"]}}, "your access to the bucket",
                   "lacks storage.objects.create", "roles/storage.objectUser"),
    "no account": ({"serviceAccounts/runner": MISSING}, "service account", "there is no runner@",
                   "gcloud iam service-accounts create runner --project=my-project"),
    "no acting": ({"gserviceaccount.com:testIamPermissions": {}}, "acting as it", "iam.serviceAccounts.actAs", "roles/iam.serviceAccountUser"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_named(name: str) -> None:
    """With what was found, and what mends it."""
    wrong, what, found, mend = CASES[name]
    told = {one.name: one for one in look(wrong)}
    assert told[what].state == "wrong"
    assert found in told[what].found
    assert mend in told[what].mend


@pytest.mark.parametrize(
    "wrong, name",
    [({"getIamPolicy": {}}, "role aiplatform.user"), ({"getIamPolicy": REFUSED}, "role logging.logWriter"),
     ({"/iam": REFUSED, "getIamPolicy": REFUSED}, "role storage.objectAdmin"), ({"entries:list": REFUSED}, "log")],
)  # fmt: skip
def test_what_may_be_granted_in_another_way_is_no_error(wrong: dict[str, Any], name: str) -> None:
    """A role by a group, a policy that may not be seen, a log that is not shown."""
    told = {one.name: one for one in look(wrong)}
    assert told[name].state == "missing"
    assert told[name].mend.startswith("gcloud ")


def test_an_account_that_google_made_is_refused() -> None:
    """Every project has it, and it may do much."""
    profile = Profile(
        project="p-1",
        region="us-central1",
        bucket="gs://b-1",
        service_account="12-compute@developer.gserviceaccount.com",
    )
    (found,) = [one for one in look({"/b/": {"location": "US"}}, profile) if one.name == "service account"]
    assert (found.state, found.mend) == ("wrong", "gcloud iam service-accounts create runner")


@pytest.mark.parametrize(
    "location, region, is_near",
    [("us", "us-central1", True), ("eu", "europe-west4", True), ("eu", "us-central1", False), ("asia", "asia-east1", True),
     ("europe-west4", "europe-west4", True), ("europe-west1", "europe-west4", False), ("eur4", "europe-west4", True),
     ("nam4", "us-west1", False), ("us", "europe-west4", False)],
)  # fmt: skip
def test_a_bucket_is_where_the_jobs_are(location: str, region: str, is_near: bool) -> None:
    """In the region, or in a multi-region round it."""
    assert covers(location, region, {}) is is_near


def test_a_pair_of_regions_is_where_it_says() -> None:
    """A bucket in two regions of one's own choice."""
    assert covers(
        "eu", "europe-west4", {"customPlacementConfig": {"dataLocations": ["EUROPE-WEST1", "EUROPE-WEST4"]}}
    )
