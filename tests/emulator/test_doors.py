"""How clients reach the emulator: over gRPC and REST, in Google's names and by its address, and as whom."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest

exceptions = pytest.importorskip("google.api_core.exceptions")
POOL = {
    "machine_spec": {"machine_type": "n1-standard-4"},
    "replica_count": 1,
    "container_spec": {"image_uri": "unmapped:1", "command": ["true"]},
}
PARENT = "projects/test-project/locations/us-central1"
DEVELOPER = "developer@test-project.iam.gserviceaccount.com"
PLACE = "us-central1-aiplatform.googleapis.com"


def client(v: Any, service: str, transport: str, endpoint: str = PLACE, **more: Any) -> Any:
    return getattr(v, f"{service}Client")(
        transport=transport, client_options={"api_endpoint": endpoint}, **more
    )


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_resource_is_made_and_found(aiplatform: Any, version: str, transport: str) -> None:
    """By both transports and both versions of the API, and by either version what the other has made."""
    from google.cloud import aiplatform_v1, aiplatform_v1beta1

    versions = {"v1": aiplatform_v1, "v1beta1": aiplatform_v1beta1}
    one = client(versions[version], "EndpointService", transport)
    name = f"made {version} {transport}"
    made = one.create_endpoint(parent=PARENT, endpoint={"display_name": name, "labels": {"a": "b"}}).result()
    assert (made.display_name, dict(made.labels)) == (name, {"a": "b"})
    for other in versions.values():
        found = client(other, "EndpointService", "grpc").get_endpoint(name=made.name)
        assert (found.display_name, found.create_time) == (name, made.create_time)
    changed = type(made)(name=made.name, display_name="changed", labels={"c": "d"})
    updated = one.update_endpoint(endpoint=changed, update_mask={"paths": ["display_name"]})
    assert (updated.display_name, dict(updated.labels)) == ("changed", {"a": "b"})
    assert [
        e.name for e in one.list_endpoints(request={"parent": PARENT, "filter": 'display_name="changed"'})
    ] == [made.name]
    one.delete_endpoint(name=made.name).result()
    with pytest.raises(exceptions.NotFound):
        one.get_endpoint(name=made.name)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_an_error_is_googles(aiplatform: Any, transport: str) -> None:
    """Its class, and its words."""
    from google.cloud import aiplatform_v1 as v1

    one = client(v1, "EndpointService", transport)
    with pytest.raises(exceptions.NotFound, match="not found"):
        one.get_endpoint(name=f"{PARENT}/endpoints/1")
    with pytest.raises(
        exceptions.InvalidArgument if transport == "grpc" else exceptions.BadRequest, match="filter"
    ):
        list(one.list_endpoints(request={"parent": PARENT, "filter": "display_name=="}))


def test_lists_have_pages(aiplatform: Any) -> None:
    """A token leads to the next page, and only with the filter for which it was given."""
    from google.cloud import aiplatform_v1 as v1

    one = client(v1, "DatasetService", "grpc")
    for number in range(5):
        said = {"display_name": f"page {number}", "metadata_schema_uri": "gs://x", "metadata": {}}
        one.create_dataset(parent=PARENT, dataset=said).result()
    asked = {
        "parent": PARENT,
        "filter": 'display_name="page*"',
        "order_by": "display_name desc",
        "page_size": 2,
    }
    pages = [[d.display_name for d in page.datasets] for page in one.list_datasets(asked).pages]
    assert pages == [["page 4", "page 3"], ["page 2", "page 1"], ["page 0"]]
    first = next(iter(one.list_datasets(asked).pages))
    with pytest.raises(exceptions.InvalidArgument):
        next(iter(one.list_datasets({**asked, "filter": "", "page_token": first.next_page_token}).pages))
    with pytest.raises(exceptions.InvalidArgument):
        next(iter(one.list_datasets({**asked, "page_token": "nonsense"}).pages))


def test_the_client_may_name_the_emulator_itself(aiplatform: Any, emulator: Any) -> None:
    """By its address, with TLS or without, with no credentials at all."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform_v1 as v1

    address = emulator.url.removeprefix("http://")
    for transport, endpoint in (
        ("grpc", address),
        ("rest", f"http://{address}"),
        ("rest", f"https://{address}"),
    ):
        one = client(v1, "EndpointService", transport, endpoint, credentials=AnonymousCredentials())
        assert list(one.list_endpoints(request={"parent": PARENT, "filter": 'display_name="none"'})) == []


def test_a_channel_may_be_plain(aiplatform: Any, emulator: Any) -> None:
    """gRPC without TLS comes by the same port."""
    import grpc
    from google.cloud import aiplatform_v1 as v1
    from google.cloud.aiplatform_v1.services.endpoint_service.transports import EndpointServiceGrpcTransport

    with grpc.insecure_channel(emulator.url.removeprefix("http://")) as channel:
        one = v1.EndpointServiceClient(transport=EndpointServiceGrpcTransport(channel=channel))
        assert list(one.list_endpoints(request={"parent": PARENT, "filter": 'display_name="none"'})) == []


def test_the_project_is_known(aiplatform: Any) -> None:
    """Its number is that of its buckets, so the client need not search for it."""
    from google.cloud import resourcemanager_v3 as manager

    found = manager.ProjectsClient().get_project(name="projects/test-project")
    assert (found.project_id, found.state.name) == ("test-project", "ACTIVE")
    again = manager.ProjectsClient(transport="rest").get_project(name=found.name)
    assert again.project_id == "test-project"


def test_a_client_of_both_kinds_of_http_is_served(emulator: Any) -> None:
    """One that offers HTTP/2 and 1.1, as curl does, is no gRPC client."""
    import socket
    import ssl
    from urllib.parse import urlsplit

    place = urlsplit(emulator.url)
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection((place.hostname, place.port)) as plain,
        context.wrap_socket(plain, server_hostname="storage.googleapis.com") as secure,
    ):
        secure.sendall(b"GET /storage/v1/b/test-bucket HTTP/1.1\r\nHost: storage.googleapis.com\r\n\r\n")
        assert secure.recv(12) == b"HTTP/1.1 200"


def test_another_machine_is_not_reached(emulator: Any) -> None:
    """The proxy refuses every name that is not Google's, and says so."""
    with pytest.raises(OSError, match="lets nothing out: www.example.org"):
        urllib.request.urlopen("https://www.example.org/")
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen("http://example.com/")
    assert (raised.value.code, "lets nothing out" in raised.value.read().decode()) == (403, True)


def who(emulator: Any, method: str) -> list[tuple[str, str]]:
    return [(call["identity"], call["transport"]) for call in emulator.calls(method)]


def test_who_called_is_known(aiplatform: Any, emulator: Any) -> None:
    """The key's account, the account that it stands in for, and that of a token."""
    import google.auth
    from google.auth import impersonated_credentials
    from google.cloud import aiplatform_v1 as v1
    from google.cloud import storage

    own, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    robot = "robot@test-project.iam.gserviceaccount.com"
    other = impersonated_credentials.Credentials(
        own,
        target_principal=robot,
        target_scopes=["https://www.googleapis.com/auth/cloud-platform"],
        lifetime=600,
    )
    emulator.forget_calls()
    for credentials in (own, other):
        for transport in ("grpc", "rest"):
            list(
                client(v1, "EndpointService", transport, credentials=credentials).list_endpoints(
                    parent=PARENT
                )
            )
    assert who(emulator, "EndpointService.ListEndpoints") == [
        (DEVELOPER, "grpc"), (DEVELOPER, "rest"), (robot, "grpc"), (robot, "rest"),
    ]  # fmt: skip
    list(storage.Client(project="test-project", credentials=other).list_buckets())
    assert who(emulator, "Storage.ListBuckets") == [(robot, "storage")]
    assert who(emulator, "IAMCredentials.GenerateAccessToken")[0] == (DEVELOPER, "rest")


def test_an_expired_token_is_refused_and_made_anew(aiplatform: Any, emulator: Any) -> None:
    """A client that refreshes goes on; one that cannot gets 401."""
    import google.auth
    import requests
    from google.auth.transport.requests import AuthorizedSession

    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    session = AuthorizedSession(credentials)
    address = f"https://{PLACE}/v1/{PARENT}/endpoints"
    assert session.get(address).status_code == 200
    old = credentials.token
    emulator.expire_tokens()
    refused = requests.get(address, headers={"Authorization": f"Bearer {old}"})
    assert session.get(address).status_code == 200
    assert credentials.token != old
    assert refused.status_code == 401
    assert refused.json()["error"]["status"] == "UNAUTHENTICATED"


def test_what_a_key_signs_expires_too(aiplatform: Any, emulator: Any) -> None:
    """gRPC clients sign their own tokens; a new client signs a new one."""
    from google.cloud import aiplatform_v1 as v1

    def listed(one: Any) -> None:
        one.list_endpoints(parent=PARENT)

    old = client(v1, "EndpointService", "grpc")
    listed(old)
    emulator.expire_tokens()
    with pytest.raises(exceptions.Unauthenticated):
        listed(old)
    listed(client(v1, "EndpointService", "grpc"))


def test_the_metadata_server_says_who(emulator: Any) -> None:
    """A program without a key is the account of its door, as within Google's cloud."""
    code = """
import google.auth, google.auth.transport.requests, os
del os.environ["GOOGLE_APPLICATION_CREDENTIALS"]
made, project = google.auth.default()
made.refresh(google.auth.transport.requests.Request())
print(type(made).__module__, project, made.service_account_email, bool(made.token))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "google.auth.compute_engine.credentials",
        "test-project",
        DEVELOPER,
        "True",
    ]


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_mask_leaves_out_what_nobody_reads(aiplatform: Any, transport: str) -> None:
    """Of a list only the fields that the client asks for."""
    from google.cloud import aiplatform_v1 as v1

    one = client(v1, "DatasetService", transport)
    said = {"display_name": f"masked {transport}", "metadata_schema_uri": "gs://x", "labels": {"a": "b"}}
    one.create_dataset(parent=PARENT, dataset=said).result()
    asked = {
        "parent": PARENT,
        "filter": f'display_name="masked {transport}"',
        "read_mask": {"paths": ["display_name"]},
    }
    (found,) = one.list_datasets(request=asked)
    assert (found.display_name, found.name, dict(found.labels)) == (f"masked {transport}", "", {})


@pytest.mark.parametrize(
    "sent, answered",
    [
        (b"", b""),
        (b"\x16\x03\x01", b""),
        (b"PRI * HTTP/2.0\r\n\r\nnonsense", b""),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n", b"404 Not Found"),
        (b"POST /clock/advance HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 8\r\n\r\nnonsense", b"400 Bad"),
        (b"POST /faults HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n[]", b"400 Bad"),
        (
            b"POST /upload/storage/v1/b/test-bucket/o?uploadType=multipart HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
            b"400",
        ),
        (b"GET /storage/v1/b/test-bucket/o?maxResults=many HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET /storage/v1/b/test-bucket/o?pageToken=%FF HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET /computeMetadata/v1/project/project-id HTTP/1.1\r\nHost: x\r\n\r\n", b"403"),
        (b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n", b"403 Refused"),
        (b"GET http://evil.example/ HTTP/1.1\r\n\r\n", b"403 Refused"),
    ],
)
def test_nonsense_is_answered(emulator: Any, sent: bytes, answered: bytes) -> None:
    """Whatever comes by the socket: an answer or a closed connection, and the emulator serves on."""
    import http.client
    import socket
    from urllib.parse import urlsplit

    place = urlsplit(emulator.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while block := connection.recv(65536):
            found += block
    assert answered in found.partition(b"\r\n")[0]
    again = http.client.HTTPConnection(place.netloc)
    again.request("GET", "/clock")
    assert again.getresponse().status == 200
    again.close()
