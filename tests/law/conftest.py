"""One warm process for all tests of the law."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from running import Bench


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    """Runs notebooks straight and as steps."""
    with Bench(preload=("numpy", "pandas")) as made:
        yield made
