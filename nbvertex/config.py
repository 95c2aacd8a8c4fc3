"""Settings of a project: `[tool.nbvertex]` of pyproject.toml or nbvertex.toml, found upward from the notebook."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbvertex.errors import ConfigError, nearest
from nbvertex.options import Given, Wrong, add, from_settings, step_name

FILE = "nbvertex.toml"
EMULATOR = "emulator"  # a profile that is always there
_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4,
          "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """Where a submission goes, and as whom; None: not said here.

    Args:
        project, region, bucket: of Google Cloud; the bucket as ``gs://...``.
        service_account: what the jobs run as.
        impersonate: the service account that submits.
        network, kms_key: full resource names.
        experiment: where parameters and metrics of runs are told as well.
    """

    project: str | None = None
    region: str | None = None
    bucket: str | None = None
    service_account: str | None = None
    impersonate: str | None = None
    network: str | None = None
    kms_key: str | None = None
    experiment: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What the settings file says.

    Args:
        file: the file, or None where there is none.
        jobs: how many steps run side by side.
        store_limit: bytes that the store may hold.
        profile: the name of the profile that is used where none is named.
        profiles, steps: by name.
    """

    file: Path | None = None
    jobs: int | None = None
    store_limit: int | None = None
    profile: str | None = None
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    steps: Mapping[str, Given] = field(default_factory=dict)


def load(notebook: str | Path) -> Settings:
    """The settings that hold for a notebook: of the nearest folder, its own or above, that has some.

    Args:
        notebook: the notebook's file, which need not exist.

    Raises:
        ConfigError: the file is no TOML, has an unknown key or a value that does not fit.
    """
    beside = Path(os.path.abspath(notebook)).parent  # without the `..` in it
    for folder in (beside, *beside.parents):
        own, shared = folder / FILE, folder / "pyproject.toml"
        table = _table(own) if own.is_file() else None
        section = _section(shared) if shared.is_file() else None
        if table is not None and section is not None:
            raise ConfigError(
                f"{own} and `[tool.nbvertex]` of {shared} both hold settings", hint="keep one of them"
            )
        if table is not None:
            return _Reader(own, "").settings(table)
        if section is not None:
            return _Reader(shared, "tool.nbvertex.").settings(section)
    return Settings()


def _table(file: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is no TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{file} is nested too deep") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"{file} cannot be read: {reason}") from error


def _section(file: Path) -> dict[str, Any] | None:
    tool = _table(file).get("tool")
    section = tool.get("nbvertex") if isinstance(tool, dict) else None
    if section is not None and not isinstance(section, dict):
        raise ConfigError(f"{file}: `tool.nbvertex` is no table")
    return section


class _Bad(ValueError):
    """A value does not fit; the message says what is wanted."""


def _text(pattern: str, wanted: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise _Bad(wanted)
        return value

    return read


def _jobs(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _Bad("a whole number from 1")
    return value


def size(value: Any) -> int:
    """Bytes, from a number or a text such as ``20GB`` or ``512Mi``.

    Raises:
        ValueError: it is neither; the message says what is wanted.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    found = (
        re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([KMGT]?i?)B?", value)
        if isinstance(value, str)
        else None
    )
    if not found or found[2] not in _UNITS or float(found[1]) <= 0:
        raise _Bad("a size such as 20GB or 512Mi")
    return int(float(found[1]) * _UNITS[found[2]])


def _bucket(value: Any) -> str:
    name = value.removeprefix("gs://").rstrip("/") if isinstance(value, str) else ""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[^\s\\]*)?", name):
        raise _Bad("a bucket, with or without gs://")
    return f"gs://{name}"


_ACCOUNT = _text(r"[A-Za-z0-9._-]+@[A-Za-z0-9.-]+", "an e-mail address")
_PROFILE: Mapping[str, Callable[[Any], str]] = {
    "project": _text(r"([a-z0-9.-]+:)?[a-z0-9][a-z0-9-]{2,61}[a-z0-9]", "a project's id"),
    "region": _text(r"[a-z]+-[a-z]+[0-9]+", "a region such as europe-west4"),
    "bucket": _bucket,
    "service-account": _ACCOUNT,
    "impersonate": _ACCOUNT,
    "network": _text(r"projects/[\w.:-]+/global/networks/[\w-]+", "projects/NUMBER/global/networks/NAME"),
    "kms-key": _text(
        r"projects/[\w.:-]+/locations/[\w-]+/keyRings/[\w-]+/cryptoKeys/[\w-]+",
        "projects/P/locations/L/keyRings/R/cryptoKeys/K",
    ),
    "experiment": _text(r"[a-z0-9][a-z0-9-]{0,127}", "a name of lower-case letters, digits and -"),
}


class _Reader:
    """Reads one file, and names the place of what is wrong."""

    def __init__(self, file: Path, prefix: str) -> None:
        self.file, self.prefix = file, prefix

    def settings(self, table: Mapping[str, Any]) -> Settings:
        readers: dict[str, Callable[[Any], Any]] = {
            "jobs": _jobs, "store-limit": size, "profile": _text(".+", "the name of a profile"),
            "profiles": dict, "steps": dict,
        }  # fmt: skip
        said = self.read(table, "", readers)
        profiles = {
            name: Profile(**{key.replace("-", "_"): value for key, value in self.read(
                inner, f"profiles.{name}.", _PROFILE).items()})
            for name, inner in self.tables(table, "profiles")
        }  # fmt: skip
        wanted = said.get("profile")
        if wanted is not None and wanted not in profiles and wanted != EMULATOR:
            raise self.error("profile", f"there is no profile {wanted!r}", _meant(wanted, profiles))
        return Settings(
            file=self.file,
            jobs=said.get("jobs"),
            store_limit=said.get("store-limit"),
            profile=wanted,
            profiles=profiles,
            steps={self.step(name): self.options(name, inner) for name, inner in self.tables(table, "steps")},
        )

    def error(self, key: str, message: str, hint: str | None = None) -> ConfigError:
        return ConfigError(f"{self.file}, `{self.prefix}{key}`: {message}", hint=hint)

    def read(
        self, table: Mapping[str, Any], where: str, readers: Mapping[str, Callable[[Any], Any]]
    ) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in table.items():
            name = key.replace("_", "-")
            if name not in readers:
                raise self.error(f"{where}{key}", "there is no such setting", _meant(name, readers))
            if name in out:
                raise self.error(f"{where}{key}", f"`{name}` is set twice")
            try:
                out[name] = value if readers[name] is dict else readers[name](value)
            except _Bad as bad:
                raise self.error(f"{where}{key}", f"this takes {bad}, not {value!a:.60}") from None
        return out

    def tables(self, table: Mapping[str, Any], key: str) -> list[tuple[str, Mapping[str, Any]]]:
        outer = table.get(key, {})
        if not isinstance(outer, dict):
            raise self.error(key, "this is a table of tables, one for each name")
        for name, inner in outer.items():
            if not isinstance(inner, dict):
                raise self.error(f"{key}.{name}", "this is a table")
        return list(outer.items())

    def step(self, name: str) -> str:
        try:
            return step_name(name)
        except Wrong as wrong:
            raise self.error(f"steps.{name}", str(wrong)) from None

    def options(self, name: str, table: Mapping[str, Any]) -> Given:
        given: dict[str, Any] = {}
        for key, value in table.items():
            try:
                add(given, *from_settings(key.replace("_", "-"), value))
            except Wrong as wrong:
                raise self.error(f"steps.{name}.{key}", str(wrong)) from None
        return given


def _meant(word: str, known: Mapping[str, Any]) -> str:
    near = nearest(word, known)
    return f"did you mean `{near}`?" if near else f"known: {', '.join(known) or 'none'}"
