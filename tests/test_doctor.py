"""What is installed, what is missing, and how to mend it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from nbvertex import doctor
from nbvertex.home import Home

ALL = {name: "9999.0" for name, *_ in doctor.PACKAGES}


def examined(
    tmp_path: Path, versions: dict[str, str], kernels: tuple[Path, ...] = ()
) -> dict[str, doctor.Finding]:
    found = doctor.examine(Home(tmp_path / ".nbvertex"), version_of=versions.get, kernels=kernels)
    return {finding.name: finding for finding in found}


def test_all_is_well(tmp_path: Path) -> None:
    """With everything installed nothing is wrong, and looking changes nothing."""
    found = examined(tmp_path, ALL)
    assert {finding.name for finding in found.values() if finding.state == "wrong"} == set()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "package, version, state, mend",
    [
        ("kfp", None, "missing", "pip install 'nbvertex[kfp]'"),
        ("google-cloud-aiplatform", None, "missing", "pip install 'nbvertex[vertex]'"),
        ("papermill", None, "missing", "pip install 'papermill>=2.6'"),
        ("msgspec", None, "wrong", "pip install 'msgspec>=0.18.5'"),
        ("kfp", "1.4.0", "wrong", "pip install -U 'kfp>=2.14'"),
        ("kfp", "2.14rc1", "ok", ""),
        ("kfp", "2.100", "ok", ""),
        ("ipython", "8.17.2", "wrong", "pip install -U 'ipython>=8.18'"),
    ],
)
def test_packages(package: str, version: str | None, state: str, mend: str, tmp_path: Path) -> None:
    """What is missing or too old comes with the command that mends it."""
    versions = {name: known for name, known in {**ALL, package: version}.items() if known is not None}
    found = examined(tmp_path, versions)[package]
    assert (found.state, found.mend) == (state, mend)


def test_packages_that_do_not_go_together(tmp_path: Path) -> None:
    """kfp needs a protobuf below 7."""
    assert examined(tmp_path, {**ALL, "protobuf": "7.1.0"})["protobuf"].state == "wrong"
    assert "protobuf" not in examined(tmp_path, {**ALL, "protobuf": "6.30"})


@pytest.mark.parametrize(
    "spec, state",
    [
        (json.dumps({"argv": [sys.executable, "-m", "ipykernel"]}), "ok"),
        (json.dumps({"argv": ["/nowhere/python"]}), "missing"),
        (json.dumps({"argv": []}), "missing"),
        ("[]", "missing"),
        ("{", "missing"),
    ],
)
def test_kernels(spec: str, state: str, tmp_path: Path) -> None:
    """A kernel whose program is gone is named."""
    (tmp_path / "kernels" / "mine").mkdir(parents=True)
    (tmp_path / "kernels" / "mine" / "kernel.json").write_text(spec)
    found = examined(tmp_path, ALL, (tmp_path / "kernels",))["kernel mine"]
    assert found.state == state
    assert (found.mend == "jupyter kernelspec remove mine") == (state == "missing")


def test_no_kernel_at_all(tmp_path: Path) -> None:
    """It is said how to get one, and that runs need none."""
    assert examined(tmp_path, ALL)["kernel"].state == "missing"


def test_a_store_that_cannot_be_written() -> None:
    """Runs would fail, so it is wrong."""
    found = {f.name: f for f in doctor.examine(Home(Path("/dev/null/x")), version_of=ALL.get, kernels=())}
    assert found["store"].state == "wrong"
    assert "NBVERTEX_HOME" in found["store"].mend
