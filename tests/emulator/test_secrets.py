"""Secret Manager, by its client and by plain HTTP."""

from __future__ import annotations

import base64
from typing import Any

import pytest

exceptions = pytest.importorskip("google.api_core.exceptions")
PARENT = "projects/test-project"


@pytest.fixture(params=["grpc", "rest"])
def client(emulator: Any, request: pytest.FixtureRequest) -> Any:
    """Google's client, over both transports."""
    secretmanager = pytest.importorskip("google.cloud.secretmanager")
    return secretmanager.SecretManagerServiceClient(transport=request.param)


def make(client: Any, name: str, *values: bytes) -> str:
    secret = client.create_secret(
        request={"parent": PARENT, "secret_id": name, "secret": {"replication": {"automatic": {}}}}
    )
    for value in values:
        client.add_secret_version(request={"parent": secret.name, "payload": {"data": value}})
    return str(secret.name)


def test_a_secret_has_versions(client: Any, request: pytest.FixtureRequest) -> None:
    """Each holds its bytes; `latest` is the newest."""
    name = make(client, f"versions-{request.node.callspec.id}", b"one", b"two")
    found = {
        version: client.access_secret_version(name=f"{name}/versions/{version}").payload.data
        for version in ("1", "2", "latest")
    }
    assert found == {"1": b"one", "2": b"two", "latest": b"two"}
    assert [v.name.rpartition("/")[2] for v in client.list_secret_versions(parent=name)] == ["2", "1"]
    with pytest.raises(exceptions.NotFound):
        client.access_secret_version(name=f"{name}/versions/3")
    with pytest.raises(exceptions.Conflict):
        make(client, f"versions-{request.node.callspec.id}")


def test_a_version_is_turned_off_and_destroyed(client: Any, request: pytest.FixtureRequest) -> None:
    """What is disabled comes back, what is destroyed does not."""
    name = make(client, f"states-{request.node.callspec.id}", b"one")
    version = f"{name}/versions/1"
    client.disable_secret_version(name=version)
    with pytest.raises(exceptions.BadRequest, match="DISABLED"):
        client.access_secret_version(name=version)
    client.enable_secret_version(name=version)
    assert client.access_secret_version(name=version).payload.data == b"one"
    assert client.destroy_secret_version(name=version).state.name == "DESTROYED"
    with pytest.raises(exceptions.BadRequest, match="DESTROYED"):
        client.access_secret_version(name=version)
    client.delete_secret(name=name)
    with pytest.raises(exceptions.NotFound):
        client.get_secret(name=name)


def test_a_secret_is_read_without_a_client(
    emulator: Any, client: Any, request: pytest.FixtureRequest
) -> None:
    """Plain HTTP gives the same, as a step without the client asks for it."""
    import requests

    name = make(client, f"plain-{request.node.callspec.id}", b"\x00\xff")
    reply = requests.get(f"https://secretmanager.googleapis.com/v1/{name}/versions/latest:access")
    assert base64.b64decode(reply.json()["payload"]["data"]) == b"\x00\xff"
    assert reply.json()["name"] == f"{name}/versions/1"
