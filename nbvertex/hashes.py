"""The hashes of pinned requirements, from the lock file of the project that a notebook lies in; nothing is asked of a network."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

UV_LOCK = "uv.lock"
PYLOCK = re.compile(r"pylock(\..+)?\.toml")
REQUIREMENTS = re.compile(r"requirements.*\.txt")
_PINNED = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash[= ](sha256:[0-9a-f]{64})")
Hashes = Mapping[tuple[str, str], frozenset[str]]


def found(folder: Path) -> Hashes:
    """Name and version -> hashes, from the lock files of the nearest folder of the project that has some.

    Args:
        folder: the notebook's.
    """
    for place in _project(folder):
        hashes: dict[tuple[str, str], set[str]] = {}
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            for name, version, value in _read(path):
                hashes.setdefault((name, version), set()).add(value)
        if hashes:
            return {key: frozenset(values) for key, values in hashes.items()}
    return {}


def _project(folder: Path) -> list[Path]:
    """The folders from this one up to the project's; this one alone where there is no project."""
    places = [folder, *folder.parents]
    for number, place in enumerate(places):
        if (place / ".git").exists() or (place / "pyproject.toml").is_file():
            return places[: number + 1]
    return [folder]


def locked(lines: Iterable[str], hashes: Hashes) -> tuple[str, ...] | None:
    """The requirements with their hashes; None where some have none: an installer takes all of them, or none.

    Args:
        lines: one requirement each.
        hashes: what is known.
    """
    told = []
    for line in lines:
        pinned = _PINNED.fullmatch(line)
        known = hashes.get((_normal(pinned[1]), pinned[2])) if pinned else None
        if not known:
            return None
        told.append(" \\\n    ".join([line, *(f"--hash={value}" for value in sorted(known))]))
    return tuple(told)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _read(path: Path) -> Iterator[tuple[str, str, str]]:
    """Name, version and hash, from a file that is of a kind that holds them and can be read."""
    try:
        if path.name == UV_LOCK:
            yield from _uv(tomllib.loads(path.read_text(encoding="utf-8")))
        elif PYLOCK.fullmatch(path.name):
            yield from _pylock(tomllib.loads(path.read_text(encoding="utf-8")))
        elif REQUIREMENTS.fullmatch(path.name):
            yield from _requirements(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # no lock file, whatever it is called


def _uv(lock: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    packages = lock.get("package", [])
    for package in packages if isinstance(packages, list) else []:
        files = [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]
        for file in files:
            if str(file.get("hash", "")).startswith("sha256:"):
                yield _normal(package["name"]), package["version"], file["hash"]


def _pylock(lock: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    packages = lock.get("packages", [])
    for package in packages if isinstance(packages, list) else []:
        files = [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]
        for file in files:
            if value := file.get("hashes", {}).get("sha256"):
                yield _normal(package["name"]), package["version"], f"sha256:{value}"


def _requirements(text: str) -> Iterator[tuple[str, str, str]]:
    for line in text.replace("\\\n", " ").splitlines():
        pinned = _PINNED.match(line)
        if pinned is not None:
            yield from ((_normal(pinned[1]), pinned[2], value) for value in _HASH.findall(line))
