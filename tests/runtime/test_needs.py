"""What a step needs is installed before it begins, apart from what is there."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import zipfile
from pathlib import Path

import pytest

from nbvertex.runtime import needs

INSTALLER = shutil.which("uv") is not None or importlib.util.find_spec("pip") is not None


@pytest.mark.parametrize(
    "line, there",
    [
        ("pytest=={pytest}", True),
        ("PyTest=={pytest}", True),
        ("pytest==0.1", False),
        ("pytest>=3", True),
        ("surely-not-installed==1", False),
        ("surely-not-installed", False),
        ("https://example.org/x.whl", False),
        ("git+https://example.org/x", False),
    ],
)
def test_what_is_missing(line: str, there: bool) -> None:
    """Another version than the one that is pinned is missing; what is not pinned only has to be there."""
    text = line.format(pytest=importlib.metadata.version("pytest"))
    assert needs.missing([text]) == ([] if there else [text])


def test_an_image_that_was_chosen_is_trusted() -> None:
    """What is in it is taken in the version that it has; what is not there is still missing."""
    assert needs.missing(["pytest==0.1", "surely-not-installed==1"], exact=False) == [
        "surely-not-installed==1"
    ]


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Installers that have only the wheels of a folder, and an empty place for what is installed."""
    wheels, place = tmp_path / "wheels", tmp_path / "place"
    wheels.mkdir()
    place.mkdir()
    for name in ("PIP_NO_INDEX", "UV_OFFLINE", "UV_NO_INDEX"):
        monkeypatch.setenv(name, "1")
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.setenv(name, str(wheels))
    monkeypatch.setattr(needs.tempfile, "tempdir", str(place))
    return wheels


def wheel(folder: Path, name: str, version: str) -> None:
    """A distribution with one module."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(
            f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )


@pytest.mark.skipif(not INSTALLER, reason="neither uv nor pip is installed")
def test_what_is_missing_is_installed_once(offline: Path) -> None:
    """Into a folder of its own that later steps find; what is there already is left alone."""
    assert needs.install([f"pytest=={importlib.metadata.version('pytest')}"]) is None
    wheel(offline, "nbvertex_some", "1.5")
    found = needs.install(["nbvertex-some==1.5", "pytest"])
    assert found is not None
    assert Path(found).name == "site-packages"
    assert (Path(found) / "nbvertex_some.py").read_text() == "version = '1.5'\n"
    (offline / "nbvertex_some-1.5-py3-none-any.whl").unlink()
    assert needs.install(["pytest", "nbvertex-some==1.5"]) == found
    assert Path(found).parents[1].stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not INSTALLER, reason="neither uv nor pip is installed")
def test_what_cannot_be_had_is_named(offline: Path) -> None:
    """With what the installer says; nothing half done stays."""
    with pytest.raises(needs.NotInstalled, match="nbvertex-none==2"):
        needs.install(["nbvertex-none==2"])
    assert not any((offline.parent / "place").rglob("site-packages"))


def test_a_folder_of_somebody_else_is_not_used(offline: Path) -> None:
    """Who can write there could put code into our steps."""
    import os

    place = offline.parent / "place" / f"nbvertex-packages-{os.getuid()}"
    place.mkdir()
    place.chmod(0o777)
    assert needs._home() != str(place)
    place.chmod(0o700)
    assert needs._home() == str(place)
