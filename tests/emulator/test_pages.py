"""The emulator's own pages."""

from __future__ import annotations

from typing import Any

import pytest

requests = pytest.importorskip("requests")


def page(emulator: Any, path: str = "/", **said: str) -> str:
    reply = requests.get(f"{emulator.url}{path}", params=said)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    return reply.text


def test_resources_and_objects_are_shown(aiplatform: Any, emulator: Any, bucket: Any) -> None:
    """Each with a page of its own; what users named is text, never a part of the page."""
    bad = "<script>alert('x')</script>"
    endpoint = aiplatform.Endpoint.create(display_name=bad)
    bucket.blob(f"a/{bad}").upload_from_string("data")
    overview = page(emulator)
    assert bucket.name in overview
    assert "&lt;script&gt;" in overview
    assert "&lt;script&gt;" in page(emulator, "/page/resource", name=endpoint.resource_name)
    assert "&lt;script&gt;" in page(emulator, "/page/bucket", name=bucket.name)
    for path in ("/", "/page/logs"):
        assert "<script>" not in page(emulator, path)


def test_the_log_is_shown(emulator: Any) -> None:
    """The newest entries of all jobs and programs."""
    logging = pytest.importorskip("google.cloud.logging")
    logging.Client(project="test-project").logger("app").log_text("shown on the page")
    assert "shown on the page" in page(emulator, "/page/logs")


def test_a_strange_name_sees_no_page(emulator: Any) -> None:
    """A name that somebody else has pointed at this machine is answered nothing of ours."""
    reply = requests.get(f"{emulator.url}/", headers={"Host": "rebound.example.com"})
    assert reply.status_code == 404
    assert (
        requests.get(f"{emulator.url}/page/resource", params={"name": "projects/x/none/1"}).status_code == 404
    )
