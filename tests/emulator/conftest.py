"""An emulator for the session, and Google's own clients in the environment that it gives; tests that want it are skipped without them."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
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
    from nbvertex.emulator.bench import bench

    folder = tmp_path_factory.mktemp("emulator")
    wanted = hosting.Wanted(folder, project=PROJECT, bucket=BUCKET, any_image=sys.executable)
    with bench(wanted) as made:
        before = dict(os.environ)
        os.environ.update(made.environment)
        yield made
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def faults(emulator: Any) -> Iterator[Callable[..., Any]]:
    """`faults(method="JobService.Create*", status="UNAVAILABLE", count=1)`; all are gone after the test."""
    yield emulator.fault
    emulator.mend()


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
