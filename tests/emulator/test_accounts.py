"""What is asked about a project before anything is sent to it: permissions, services, service accounts."""

from __future__ import annotations

from typing import Any

import pytest

requests = pytest.importorskip("requests")
ROBOT = "robot@test-project.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    "address",
    [
        "cloudresourcemanager.googleapis.com/v3/projects/test-project",
        "cloudresourcemanager.googleapis.com/v1/projects/test-project",
        f"iam.googleapis.com/v1/projects/test-project/serviceAccounts/{ROBOT}",
    ],
)
def test_permissions_are_given(emulator: Any, address: str) -> None:
    """All that are asked for: the emulator enforces none. A policy is kept as it was set."""
    wanted = ["aiplatform.customJobs.create", "storage.objects.create"]
    reply = requests.post(f"https://{address}:testIamPermissions", json={"permissions": wanted})
    assert reply.json() == {"permissions": wanted}
    policy = {"bindings": [{"role": "roles/aiplatform.user", "members": [f"serviceAccount:{ROBOT}"]}]}
    requests.post(f"https://{address}:setIamPolicy", json={"policy": policy})
    assert requests.post(f"https://{address}:getIamPolicy", json={}).json() == policy


def test_services_are_on(emulator: Any) -> None:
    """Each that the emulator has."""
    address = "https://serviceusage.googleapis.com/v1/projects/test-project/services"
    assert requests.get(f"{address}/aiplatform.googleapis.com").json()["state"] == "ENABLED"
    listed = requests.get(address, params={"filter": "state:ENABLED"}).json()["services"]
    assert "storage.googleapis.com" in [one["config"]["name"] for one in listed]


def test_service_accounts_are_kept(emulator: Any) -> None:
    """One is there when it is named; those that were made are listed."""
    address = "https://iam.googleapis.com/v1/projects/test-project/serviceAccounts"
    said = {"accountId": "made", "serviceAccount": {"displayName": "Made"}}
    made = requests.post(address, json=said).json()
    assert (made["email"], made["displayName"]) == ("made@test-project.iam.gserviceaccount.com", "Made")
    assert requests.post(address, json=said).status_code == 409
    assert [one["email"] for one in requests.get(address).json()["accounts"]] == [made["email"]]
    assert requests.get(f"{address}/{ROBOT}").json()["email"] == ROBOT
    assert requests.delete(f"{address}/{made['email']}").status_code == 200
    assert requests.get(address).json() == {}
