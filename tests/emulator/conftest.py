"""An emulator for the session, and Google's own clients in the environment that it gives; tests that want it are skipped without them."""

from __future__ import annotations

import json
import os
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT, LOCATION, BUCKET = "test-project", "us-central1", "test-bucket"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Google's clients warn of their own future; that is no fault of ours."""
    for item in items:
        if "tests/emulator" in str(item.path):
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A running emulator; its environment is that of this process while the session lasts."""
    pytest.importorskip("google.cloud.aiplatform_v1", exc_type=ImportError)
    from nbvertex.emulator import hosting

    folder = tmp_path_factory.mktemp("emulator")
    with hosting.held(hosting.Wanted(folder, project=PROJECT, bucket=BUCKET)) as reached:
        before = dict(os.environ)
        os.environ.update(reached.environ(os.environ))
        yield Emulator(reached.url, folder)
        os.environ.clear()
        os.environ.update(before)


class Emulator:
    """What a test asks of the emulator itself."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def post(self, path: str, **said: Any) -> Any:
        """Ask for something."""
        return self._asked("POST", path, json.dumps(said).encode())

    def get(self, path: str) -> Any:
        """Look at something."""
        return self._asked("GET", path, None)

    def delete(self, path: str) -> Any:
        """Remove something."""
        return self._asked("DELETE", path, None)

    def file(self, bucket: str, name: str) -> Path:
        """The plain file behind an object."""
        return self.folder / "buckets" / bucket / name

    def _asked(self, verb: str, path: str, data: bytes | None) -> Any:
        request = urllib.request.Request(f"{self.url}{path}", data, method=verb)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as reply:
            return json.loads(reply.read() or b"null")


@pytest.fixture
def faults(emulator: Any) -> Iterator[Callable[..., Any]]:
    """`faults(method="JobService.Create*", status="UNAVAILABLE", count=1)`; all are gone after the test."""
    yield lambda **said: emulator.post("/faults", **said)
    emulator.delete("/faults")


@pytest.fixture(scope="session")
def aiplatform(emulator: Any) -> Any:
    """The client as a user's program has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from google.cloud import aiplatform

    aiplatform.init(project=PROJECT, location=LOCATION, staging_bucket=f"gs://{BUCKET}")
    return aiplatform


@pytest.fixture
def bucket(emulator: Any, request: pytest.FixtureRequest) -> Any:
    """A new bucket, as Google's client sees it."""
    from google.cloud import storage

    name = f"b-{abs(hash(request.node.name)) % 10**9}-{os.getpid()}"
    return storage.Client(project=PROJECT).create_bucket(name)
