"""Settings: found upward, strict, and every fault named with its file and key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex import config
from nbvertex.config import Profile, Settings, load
from nbvertex.errors import ConfigError

WHOLE = """
jobs = 4
store-limit = "20GB"
profile = "dev"

[profiles.dev]
project = "my-project"
region = "europe-west4"
bucket = "gs://my-bucket/pipelines"
service-account = "runner@my-project.iam.gserviceaccount.com"

[profiles.prod]
project = "other-project"
bucket = "other"
impersonate = "ci@other-project.iam.gserviceaccount.com"
network = "projects/123/global/networks/main"
kms-key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"

[steps.train]
machine = "n1-standard-8"
gpu = 1
spot = true
retries = 2
timeout = "2h"
requires = ["xgboost>=2", "pandas"]
after = "load"
"""
READ = {
    "jobs": 4,
    "store_limit": 20_000_000_000,
    "profile": "dev",
    "profiles": {
        "dev": Profile(
            project="my-project",
            region="europe-west4",
            bucket="gs://my-bucket/pipelines",
            service_account="runner@my-project.iam.gserviceaccount.com",
        ),
        "prod": Profile(
            project="other-project",
            bucket="gs://other",
            impersonate="ci@other-project.iam.gserviceaccount.com",
            network="projects/123/global/networks/main",
            kms_key="projects/p/locations/l/keyRings/r/cryptoKeys/k",
        ),
    },
    "steps": {
        "train": {
            "machine": "n1-standard-8", "gpu": "1", "spot": True, "retries": 2, "timeout": 7200.0,
            "requires": ("xgboost>=2", "pandas"), "after": ("load",),
        }
    },
}  # fmt: skip


def in_pyproject(text: str) -> str:
    """The same settings under `[tool.nbvertex]`."""
    return "[tool.nbvertex]\n" + text.replace("\n[", "\n[tool.nbvertex.")


@pytest.mark.parametrize("name, text", [("nbvertex.toml", WHOLE), ("pyproject.toml", in_pyproject(WHOLE))])
def test_reads_either_file(tmp_path: Path, name: str, text: str) -> None:
    """Both files say the same in the same words."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert load(tmp_path / "sub" / "nb.ipynb") == Settings(file=tmp_path / name, **READ)


def test_the_nearest_folder_with_settings_counts(tmp_path: Path) -> None:
    """A pyproject.toml that says nothing about nbvertex does not end the search."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "nbvertex.toml").write_text("jobs = 1")
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\nname = 'x'")
    assert load(inner / "nb.ipynb").jobs == 1
    (inner / "nbvertex.toml").write_text("jobs = 2")
    assert load(inner / "nb.ipynb").jobs == 2


def test_no_file_means_no_settings(tmp_path: Path) -> None:
    """Without a file everything is left open."""
    assert load(tmp_path / "nb.ipynb") == Settings()


def test_underscores_are_taken_too(tmp_path: Path) -> None:
    """TOML people write either; the same setting twice is a fault."""
    (tmp_path / "nbvertex.toml").write_text('store_limit = "1KiB"\n[steps.a]\nservice_account = "a@b.c"')
    settings = load(tmp_path / "nb.ipynb")
    assert settings.store_limit == 1024
    assert settings.steps == {"a": {"service-account": "a@b.c"}}


FAULTS = {
    "no TOML": ("jobs = \nx = 1", "is no TOML", "at line 1"),
    "unknown": ("jbos = 2", "`jbos`", "did you mean `jobs`?"),
    "unknown, nothing near": ("colour = 2", "`colour`", "known: jobs"),
    "set twice": ('store-limit = "1GB"\nstore_limit = "1GB"', "`store-limit` is set twice", ""),
    "jobs": ("jobs = 0", "`jobs`: this takes a whole number from 1, not 0", ""),
    "jobs, true": ("jobs = true", "`jobs`", "not True"),
    "size": ('store-limit = "20 parsecs"', "`store-limit`: this takes a size", ""),
    "size, none": ("store-limit = -1", "`store-limit`: this takes a size", ""),
    "profiles": ("profiles = 3", "`profiles`: this is a table of tables", ""),
    "profile's table": ("[profiles]\ndev = 3", "`profiles.dev`: this is a table", ""),
    "profile's key": ('[profiles.dev]\nprojet = "x"', "`profiles.dev.projet`", "did you mean `project`?"),
    "project": ('[profiles.dev]\nproject = "My Project"', "`profiles.dev.project`: this takes a project's id", ""),
    "region": ('[profiles.dev]\nregion = "Europe"', "`profiles.dev.region`", "europe-west4"),
    "bucket": ('[profiles.dev]\nbucket = "gs://A B"', "`profiles.dev.bucket`", ""),
    "identity": ('[profiles.dev]\nservice-account = "me"', "`profiles.dev.service-account`", "e-mail"),
    "profile named": ('profile = "prd"\n[profiles.prod]\nproject = "p-123"', "`profile`", "did you mean `prod`?"),
    "no profiles": ('profile = "x"', "there is no profile 'x'", "known: none"),
    "steps": ("steps = []", "`steps`: this is a table of tables", ""),
    "step's name": ('[steps."../x"]\ngpu = 1', "`steps.../x`", "no name for a step"),
    "step's option": ('[steps.train]\nmachin = "x"', "`steps.train.machin`", "did you mean `machine`?"),
    "step's value": ("[steps.train]\nretries = -1", "`steps.train.retries`", "a whole number from 0"),
    "step's list": ("[steps.train]\nretries = [1]", "`steps.train.retries`", ""),
    "step's table": ("[steps.train.gpu]\nx = 1", "`steps.train.gpu`", ""),
    "when": ('[steps.train]\nwhen = "x"', "`steps.train.when`", "compared with nothing"),
}  # fmt: skip


@pytest.mark.parametrize("text, message, more", FAULTS.values(), ids=FAULTS)
def test_names_faults(tmp_path: Path, text: str, message: str, more: str) -> None:
    """Every fault names the file, the key and what is meant."""
    (tmp_path / "nbvertex.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "nb.ipynb")
    assert str(tmp_path / "nbvertex.toml") in str(caught.value)
    assert message in str(caught.value)
    assert more in f"{caught.value} {caught.value.hint}"


def test_refuses_two_places(tmp_path: Path) -> None:
    """Settings in both files of one folder would have to be merged by luck."""
    (tmp_path / "nbvertex.toml").write_text("jobs = 1")
    (tmp_path / "pyproject.toml").write_text("[tool.nbvertex]\njobs = 2")
    with pytest.raises(ConfigError, match="both hold settings"):
        load(tmp_path / "nb.ipynb")


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\nnbvertex = 3"])
def test_an_odd_pyproject_is_named_or_passed_over(tmp_path: Path, text: str) -> None:
    """A section that is no table is a fault; a file without one is somebody else's."""
    (tmp_path / "pyproject.toml").write_text(text)
    if "nbvertex" in text:
        with pytest.raises(ConfigError, match="is no table"):
            load(tmp_path / "nb.ipynb")
    else:
        assert load(tmp_path / "nb.ipynb") == Settings()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 give the same kind of error."""
    (tmp_path / "nbvertex.toml").write_bytes(b"jobs = '\xff'")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "nb.ipynb")


@given(
    st.integers(1, 10**6),
    st.sampled_from(["", "K", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"]),
    st.sampled_from(["", "B"]),
    st.sampled_from(["", " "]),
)
def test_sizes_are_numbers_times_units(number: int, unit: str, byte: str, blank: str) -> None:
    """A size in any unit is that many bytes."""
    factor = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
              "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}[unit]  # fmt: skip
    assert config.size(f"{number}{blank}{unit}{byte}") == number * factor
