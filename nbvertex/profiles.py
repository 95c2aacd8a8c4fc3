"""Where a submission goes and as whom: the profile that is meant, completed from the environment, refused where it lacks something."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from nbvertex.config import EMULATOR, Profile, Settings
from nbvertex.errors import Problem, ProblemsFound, UsageError, nearest

EMULATED = Profile(
    project="emulator",
    region="us-central1",
    bucket="gs://nbvertex-emulator",
    service_account="nbvertex@emulator.iam.gserviceaccount.com",
)
_VARIABLES = {"project": "GOOGLE_CLOUD_PROJECT", "region": "GOOGLE_CLOUD_REGION"}
_AGENTS = re.compile(
    r"\d+-compute@developer\.gserviceaccount\.com|[^@]+@appspot\.gserviceaccount\.com|"
    r"service-\d+@[a-z0-9-]+\.iam\.gserviceaccount\.com|\d+@cloudservices\.gserviceaccount\.com"
)
_EXAMPLES = {
    "project": "my-project",
    "region": "europe-west4",
    "bucket": "gs://my-bucket",
    "service_account": "runner@my-project.iam.gserviceaccount.com",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A profile and its name; empty: none was named."""

    name: str
    profile: Profile


def choose(settings: Settings, name: str | None, environ: Mapping[str, str] = os.environ) -> Chosen:
    """The profile that is meant.

    Args:
        settings: of the project.
        name: as the user named it; None: the one that the settings name, if any.
        environ: names the project and the region where the profile does not, never an identity.

    Raises:
        UsageError: there is no such profile.
    """
    wanted = name or settings.profile
    if wanted is None:
        return Chosen("", _completed(Profile(), environ))
    if wanted in settings.profiles:
        return Chosen(wanted, _completed(settings.profiles[wanted], environ))
    if wanted == EMULATOR:
        return Chosen(wanted, EMULATED)
    known = [*settings.profiles, EMULATOR]
    near = nearest(wanted, known)
    raise UsageError(
        f"there is no profile {wanted!r}",
        hint=f"did you mean {near}?" if near else f"there are {', '.join(known)}",
        code="unknown-profile",
    )


def _completed(profile: Profile, environ: Mapping[str, str]) -> Profile:
    found = {field: environ[name] for field, name in _VARIABLES.items() if environ.get(name)}
    return replace(profile, **{k: v for k, v in found.items() if getattr(profile, k) is None})


def check(chosen: Chosen, settings: Settings) -> None:
    """Refuse a profile that a submission cannot use.

    Raises:
        ProblemsFound: it lacks something, or would run as somebody by default; all of it.
    """
    problems = [*missing(chosen, settings), *borrowed(chosen.profile)]
    if problems:
        raise ProblemsFound(problems)


def missing(chosen: Chosen, settings: Settings) -> Iterator[Problem]:
    """What a profile does not say and a submission must know."""
    whose = f"the profile {chosen.name}" if chosen.name else "no profile is named, and nothing"
    where = (
        "nbvertex.toml"
        if settings.file is None or settings.file.name != "pyproject.toml"
        else "pyproject.toml"
    )
    prefix = "tool.nbvertex." if where == "pyproject.toml" else ""
    for field, example in _EXAMPLES.items():
        if getattr(chosen.profile, field) is None:
            key = field.replace("_", "-")
            yield Problem(
                f"no-{key}",
                f"{whose} says which {key.replace('-', ' ')} is meant"
                if not chosen.name
                else f"{whose} names no {key.replace('-', ' ')}",
                hint=f'write `{key} = "{example}"` below [{prefix}profiles.{chosen.name or "dev"}] in {where}'
                + ("" if chosen.name else ", and name it with --profile dev"),
            )


def borrowed(profile: Profile) -> Iterator[Problem]:
    """What is wrong with running as an account that Google has made for other things."""
    if profile.service_account and _AGENTS.fullmatch(profile.service_account):
        yield Problem(
            "default-account",
            f"{profile.service_account} is an account that Google made, and may do more than the steps need",
            hint="make one for the steps: gcloud iam service-accounts create runner",
        )
