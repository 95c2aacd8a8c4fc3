"""A submission goes where the profile says, as whom it says; whatever is missing is refused at once, with its mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbvertex import config, profiles
from nbvertex.config import Profile, Settings
from nbvertex.errors import ProblemsFound, UsageError
from nbvertex.reaching import reached

FULL = Profile(
    project="my-project",
    region="europe-west4",
    bucket="gs://my-bucket",
    service_account="runner@my-project.iam.gserviceaccount.com",
)


def settings(name: str | None = None, **fields: Any) -> Settings:
    """Settings with a profile ``dev``."""
    return Settings(file=Path("nbvertex.toml"), profile=name, profiles={"dev": Profile(**fields)})


def test_the_environment_names_no_identity() -> None:
    """Project and region may come from it; the account never does."""
    environ = {
        "GOOGLE_CLOUD_PROJECT": "of-shell",
        "GOOGLE_CLOUD_REGION": "us-east1",
        "GOOGLE_SERVICE_ACCOUNT": "a@b.c",
    }
    chosen = profiles.choose(settings(), "dev", environ)
    assert (chosen.profile.project, chosen.profile.region, chosen.profile.service_account) == (
        "of-shell",
        "us-east1",
        None,
    )


def test_the_profile_wins_over_the_environment() -> None:
    """What is written down holds in every shell."""
    environ = {"GOOGLE_CLOUD_PROJECT": "of-shell"}
    assert profiles.choose(settings(project="mine-1"), "dev", environ).profile.project == "mine-1"


@pytest.mark.parametrize("lacking", ["project", "region", "bucket", "service_account"])
def test_what_is_missing_is_named(lacking: str) -> None:
    """With the line to write, and where."""
    fields = {
        name: getattr(FULL, name)
        for name in ("project", "region", "bucket", "service_account")
        if name != lacking
    }
    held = settings(**fields)
    with pytest.raises(ProblemsFound) as caught:
        profiles.check(profiles.choose(held, "dev", {}), held)
    (problem,) = caught.value.problems
    key = lacking.replace("_", "-")
    assert problem.code == f"no-{key}"
    assert problem.hint is not None
    assert problem.hint.startswith(f'write `{key} = "')
    assert "[profiles.dev] in nbvertex.toml" in problem.hint


def test_no_profile_at_all_lacks_everything() -> None:
    """All four at once."""
    with pytest.raises(ProblemsFound) as caught:
        profiles.check(profiles.choose(Settings(), None, {}), Settings())
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    "account",
    ["12-compute@developer.gserviceaccount.com", "my-project@appspot.gserviceaccount.com",
     "service-12@gcp-sa-aiplatform.iam.gserviceaccount.com", "12@cloudservices.gserviceaccount.com"],
)  # fmt: skip
def test_an_account_by_default_is_none(account: str) -> None:
    """Accounts that Google made are refused by name."""
    held = settings(project="p-1", region="us-central1", bucket="gs://b-1", service_account=account)
    with pytest.raises(ProblemsFound) as caught:
        profiles.check(profiles.choose(held, "dev", {}), held)
    assert [problem.code for problem in caught.value.problems] == ["default-account"]


def test_an_unknown_profile_is_refused() -> None:
    """With the nearest one that there is."""
    with pytest.raises(UsageError) as caught:
        profiles.choose(settings(), "dve", {})
    assert caught.value.hint == "did you mean dev?"


def test_the_emulator_is_always_a_profile(tmp_path: Path) -> None:
    """Complete, and independent of the environment; a profile of that name in the settings wins."""
    chosen = profiles.choose(Settings(), "emulator", {"GOOGLE_CLOUD_PROJECT": "of-shell"})
    profiles.check(chosen, Settings())
    assert chosen.profile == profiles.EMULATED
    (tmp_path / "nbvertex.toml").write_text('profile = "emulator"\n', encoding="utf-8")
    assert profiles.choose(config.load(tmp_path / "n.ipynb"), None, {}).profile == profiles.EMULATED
    own = Settings(profiles={"emulator": FULL})
    assert profiles.choose(own, "emulator", {}).profile == FULL


def test_the_settings_name_the_experiment(tmp_path: Path) -> None:
    """In the profile, as all else."""
    (tmp_path / "nbvertex.toml").write_text('[profiles.dev]\nexperiment = "rates"\n', encoding="utf-8")
    assert config.load(tmp_path / "n.ipynb").profiles["dev"].experiment == "rates"


def test_google_is_not_reached_through_an_emulator() -> None:
    """A profile of a real project leaves the environment alone, and needs the client."""
    pytest.importorskip("google.cloud.aiplatform_v1", exc_type=ImportError)
    environ = {"A": "1"}
    with reached(FULL, environ=environ):
        assert environ == {"A": "1"}
