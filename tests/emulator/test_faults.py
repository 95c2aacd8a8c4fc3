"""Faults on demand, as a client meets them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from nbvertex.errors import UsageError

exceptions = pytest.importorskip("google.api_core.exceptions")
PARENT = "projects/test-project/locations/us-central1"


@pytest.fixture(params=["grpc", "rest"])
def endpoints(aiplatform: Any, request: pytest.FixtureRequest) -> Any:
    """A service that has no retries of its own."""
    from google.cloud import aiplatform_v1 as v1

    options = {"api_endpoint": "us-central1-aiplatform.googleapis.com"}
    return v1.EndpointServiceClient(transport=request.param, client_options=options)


@pytest.mark.parametrize(
    "status, error",
    [
        ("UNAVAILABLE", "ServiceUnavailable"),
        ("RESOURCE_EXHAUSTED", "TooManyRequests"),
        ("PERMISSION_DENIED", "Forbidden"),
        ("INTERNAL", "InternalServerError"),
        ("DEADLINE_EXCEEDED", "GatewayTimeout"),
        ("UNAUTHENTICATED", "Unauthorized"),
    ],
)
def test_a_status_is_answered(endpoints: Any, faults: Any, status: str, error: str) -> None:
    """As often as was asked for, after as many calls as were let through."""
    # Over REST a client refreshes its token twice before it gives up.
    count = 3 if (endpoints.transport.kind, status) == ("rest", "UNAUTHENTICATED") else 1
    faults(method="EndpointService.ListEndpoints", status=status, skip=1, count=count, message="as asked")
    endpoints.list_endpoints(parent=PARENT)
    with pytest.raises(getattr(exceptions, error), match="as asked"):
        endpoints.list_endpoints(parent=PARENT)
    endpoints.list_endpoints(parent=PARENT)


def test_a_reply_is_lost_after_the_write(endpoints: Any, faults: Any, request: pytest.FixtureRequest) -> None:
    """The client is told nothing; what it asked for is there."""
    import requests

    name = f"lost {request.node.callspec.id}"
    faults(method="EndpointService.CreateEndpoint", drop=True, count=1)
    with pytest.raises((exceptions.ServiceUnavailable, requests.ConnectionError)):
        endpoints.create_endpoint(parent=PARENT, endpoint={"display_name": name})
    found = endpoints.list_endpoints(request={"parent": PARENT, "filter": f'display_name="{name}"'})
    assert len(list(found)) == 1


def test_an_answer_is_late(endpoints: Any, faults: Any) -> None:
    """Within the client's patience it comes, beyond it does not."""
    faults(method="EndpointService.List*", delay=0.3, count=2)
    began = time.monotonic()
    endpoints.list_endpoints(parent=PARENT)
    assert time.monotonic() - began >= 0.3


def test_a_quota_is_used_up(endpoints: Any, faults: Any, emulator: Any) -> None:
    """So many calls in so many seconds of the emulator's clock."""
    faults(method="EndpointService.*", quota=2, per=60)
    endpoints.list_endpoints(parent=PARENT)
    endpoints.list_endpoints(parent=PARENT)
    with pytest.raises(exceptions.TooManyRequests, match="Quota exceeded") as raised:
        endpoints.list_endpoints(parent=PARENT)
    assert (raised.value.reason, raised.value.domain) == ("RATE_LIMIT_EXCEEDED", "googleapis.com")
    emulator.advance(61)
    endpoints.list_endpoints(parent=PARENT)


def test_only_one_account_is_hit(endpoints: Any, faults: Any) -> None:
    """A fault may be for somebody else, or about something else."""
    faults(method="*", identity="robot@*", status="PERMISSION_DENIED")
    faults(method="*", name="*/locations/europe-west1", status="PERMISSION_DENIED")
    endpoints.list_endpoints(parent=PARENT)
    with pytest.raises(exceptions.Forbidden):
        endpoints.list_endpoints(parent=PARENT.replace("us-central1", "europe-west1"))


def test_a_wrong_fault_is_refused(emulator: Any) -> None:
    """A word that means nothing is no fault that never strikes."""
    for said, told in (({"methid": "*"}, "methid"), ({"status": "BROKEN"}, "BROKEN")):
        with pytest.raises(UsageError, match=told):
            emulator.fault(**said)
