"""What every test gets: a home folder of its own, no network, golden files, small notebooks, the shared cases."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import closing
import hypothesis
import making
import pytest
from places import GOLDEN, ROOT

# Before any test module is imported: IPython, Jupyter and matplotlib look for the home folder when they are imported.
_home = tempfile.TemporaryDirectory(prefix="nbvertex-home-", ignore_cleanup_errors=True)
_real_home = Path.home()
_shared = os.environ.get("NBVERTEX_SHARED")
closing.redirect(os.environ, Path(_home.name))
closing.close(_real_home, ROOT, Path(sys.prefix), Path(sys.base_prefix), Path(tempfile.gettempdir()))

# A busy machine is no failure, and what fails once fails again; whoever asks for many programs gets new ones.
hypothesis.settings.register_profile(
    "nbvertex", deadline=None, derandomize="NBVERTEX_LAW_PROGRAMS" not in os.environ
)
hypothesis.settings.load_profile("nbvertex")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden` writes the golden files anew, to be read in the diff."""
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden/ anew instead of comparing"
    )


def pytest_unconfigure() -> None:
    """The home folder of the run goes with it."""
    _home.cleanup()


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs, artifacts and lineage of each test lie in its own temporary folder."""
    monkeypatch.setenv("NBVERTEX_HOME", str(tmp_path / ".nbvertex"))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str | bytes], None]:
    """`golden("show/quickstart.json", text)`: equal to the whole file of that name under tests/golden/."""
    update = request.config.getoption("--update-golden")

    def compare(name: str, found: str | bytes) -> None:
        path = GOLDEN / name
        data = found.encode() if isinstance(found, str) else found
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return
        assert path.exists(), f"no golden file {name}: run pytest --update-golden and read what it wrote"
        wanted = path.read_bytes()
        if isinstance(found, str):
            assert found == wanted.decode()
        assert data == wanted

    return compare


@pytest.fixture
def make_notebook(tmp_path: Path) -> Callable[..., Path]:
    """`make_notebook([cell("x = 1", "step:a"), "text"], name="nb.ipynb")` writes it in the test's folder (see making.py)."""

    def make(cells: Sequence[str | Mapping[str, Any]], name: str = "nb.ipynb", **metadata: Any) -> Path:
        return making.write(tmp_path / name, cells, **metadata)

    return make


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of cases and notebooks that lies beside the repository, or where NBVERTEX_SHARED says; else a skip."""
    folder = Path(_shared or ROOT.parent / "shared")
    if not folder.is_dir():
        pytest.skip("no shared/ beside the repository and no NBVERTEX_SHARED")
    return folder
