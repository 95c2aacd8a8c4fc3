"""What an environment has installed is read from its metadata, once, and read again when it changes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from nbvertex.environment import Interpreter, Packages, interpreter
from nbvertex.errors import Refused


class Notes(dict[str, str]):
    """Notes in memory that count what is written."""

    written = 0

    def read(self, name: str) -> str | None:
        return self.get(name)

    def write(self, name: str, value: str) -> None:
        self.written += 1
        self[name] = value


def install(
    folder: Path, name: str, version: str, *, files: str = "", metadata: str = "", url: object = None
) -> None:
    """Make the metadata of a distribution."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}\nA text\n"
    )
    (info / "RECORD").write_text(files)
    if url is not None:
        (info / "direct_url.json").write_text(json.dumps(url))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "lib" / "site-packages"
    install(
        site,
        "Pandas.X",
        "2.1",
        files="pandas/__init__.py,,\npandas/core.py,,\n_c.cpython-311.so,,\n../../bin/p,,\npandas_x-2.1.dist-info/METADATA,,",
        metadata=(
            "Requires-Dist: numpy>=1.0\nRequires-Dist: fast_io[x]; extra == 'io'\n"
            "Requires-Dist: pytest; extra == 'test'\nRequires-Dist: pytest; extra == 'all'\n"
        ),
    )
    install(site, "numpy", "1.5", files="numpy/__init__.py,,", metadata="Requires-Dist: base")
    install(site, "base", "0.1", files="base.py,,")
    install(site, "fast-io", "3", files="fast_io/__init__.py,,")
    install(site, "pytest", "9", files="pytest/__init__.py,,")
    install(
        site,
        "mine",
        "0",
        files="mine/__init__.py,,",
        url={"url": "file:///src", "dir_info": {"editable": True}},
    )
    return site


def packages(site: Path, notes: Notes | None = None) -> Packages:
    made = Interpreter("python", "3.11.0", ("/p",), (str(site), "/nowhere"), ("/std",))
    return Packages(made, notes if notes is not None else Notes())


def test_what_stands_behind_a_module(site: Path) -> None:
    """A module's distribution counts, what it needs, and what it uses if it is there; its developers' tools do not."""
    found = [(package.name, package.version) for package in packages(site).behind("pandas")]
    assert found == [("base", "0.1"), ("fast-io", "3"), ("numpy", "1.5"), ("pandas-x", "2.1")]
    assert [package.name for package in packages(site).behind("_c")][-1] == "pandas-x"
    assert packages(site).behind("unheard_of") == ()


def test_what_never_changes_while_a_run_lasts(site: Path) -> None:
    """Python's own modules and installed ones; not those that are being developed."""
    known = packages(site)
    names = ["json", "os.path", "numpy.random", "mine", "unheard_of"]
    assert [known.installed(name) for name in names] == [True, True, True, False, False]


def test_metadata_is_read_once(site: Path) -> None:
    """Until a package is added or removed, the notes are enough."""
    notes = Notes()
    assert packages(site, notes).behind("base")[0].version == "0.1"
    assert (packages(site, notes).behind("base")[0].version, notes.written) == ("0.1", 1)
    (site / "base-0.1.dist-info").rename(site / "base-0.2.dist-info")
    (site / "base-0.2.dist-info" / "METADATA").write_text("Name: base\nVersion: 0.2\n\n")
    assert packages(site, notes).behind("base")[0].version == "0.2"


def test_same_version_with_other_files(site: Path, tmp_path: Path) -> None:
    """A package that was installed anew with other content is another one, whatever its version says."""
    (before,) = packages(site).behind("base")
    other = tmp_path / "other"
    install(other, "base", "0.1", files="base.py,sha256=x,1")
    (after,) = packages(other).behind("base")
    assert before != after


@pytest.mark.parametrize(
    "path, owned",
    [
        ("/std/json/__init__.py", True),
        ("/x/lib/python3.11/site-packages/numpy/core.py", True),
        ("/usr/lib/python3/dist-packages/apt.py", True),
        ("/home/me/helpers.py", False),
        ("/stdx/y.py", False),
    ],
)
def test_files_that_belong_to_packages(site: Path, path: str, owned: bool) -> None:
    """A package's own files are known by its version; the user's are not."""
    assert packages(site).interpreter.owns(path) is owned


def test_this_python_is_not_started() -> None:
    """What is known of the Python we run in needs no process and no note."""
    notes = Notes()
    found = interpreter(sys.executable, notes)
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert notes == {}


def test_other_python_is_asked_once(tmp_path: Path) -> None:
    """Another Python is started once, and again when it has changed."""
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    notes = Notes()
    assert interpreter(str(python), notes).version == interpreter(str(python), notes).version
    assert notes.written == 1


def test_python_that_does_not_start(tmp_path: Path) -> None:
    """A file that is no Python is refused by name."""
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nexit 3\n")
    fake.chmod(0o755)
    with pytest.raises(Refused, match=str(fake)):
        interpreter(str(fake), Notes())
