"""Write a notebook down for an engine: text, and nothing else is touched."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nbvertex.actions.reading import Opened
from nbvertex.errors import Problem, ProblemsFound, StoreError, UsageError

if TYPE_CHECKING:
    from nbvertex.config import Profile
    from nbvertex.requirements import Installed


@dataclass(frozen=True, slots=True)
class Said:
    """How it is written.

    Args:
        image: the container image; None: a plain one of Python.
        profile: the name of a profile of the settings; None: the one that they name, if any.
        name: what the pipeline is called there; None: as the notebook.
        python: an interpreter, an environment's folder or a Jupyter kernel, whose packages are asked for; None: this
            Python.
    """

    image: str | None = None
    profile: str | None = None
    name: str | None = None
    python: str | None = None


@dataclass(frozen=True, slots=True)
class Converted:
    """A notebook as an engine's files.

    Args:
        files: their text, by path.
        warnings: what is odd but no error.
    """

    files: Mapping[str, str]
    warnings: tuple[Problem, ...]


@dataclass
class _Notes:
    """What was found out about an environment, for one conversion: nothing is kept on disk."""

    found: dict[str, str] = field(default_factory=dict)

    def read(self, name: str) -> str | None:
        return self.found.get(name)

    def write(self, name: str, value: str) -> None:
        self.found[name] = value


def convert(
    opened: Opened, to: str, said: Said | None = None, *, profile: Profile | None = None
) -> Converted:
    """The files of a notebook for a target.

    Args:
        opened: the notebook.
        to: the target's name.
        said: how it is written.
        profile: where it goes and as whom; None: the one that is named.

    Raises:
        UsageError: there is no such target, profile or interpreter.
        ProblemsFound: the target cannot express something, or something cannot travel; all of it.
    """
    from nbvertex import bundle, target

    said = said or Said()
    goal = target.find(to)
    profile = profile or _profile(opened, said.profile)
    problems = target.unsupported(opened.pipeline, to, goal.SUPPORTS)
    if any(problem.is_error for problem in problems):
        raise ProblemsFound(problems)
    installed, python = _environment(said.python)
    made = bundle.make(opened.pipeline, Path(opened.notebook.path).absolute().parent, installed, python)
    settings = target.Settings(
        made,
        image=said.image,
        profile=profile,
        name=said.name or "",
        document=json.dumps(opened.notebook.raw()),
    )
    return Converted(goal.render(opened.pipeline, settings), (*opened.warnings, *problems, *made.warnings))


def _profile(opened: Opened, name: str | None) -> Profile:
    """The profile that is meant, without what this shell's environment says: the files are for any."""
    from nbvertex import config, profiles

    return profiles.choose(config.load(opened.notebook.path), name, {}).profile


def _environment(python: str | None) -> tuple[Installed, str]:
    from nbvertex.environment import Packages, interpreter
    from nbvertex.interpreters import resolve_python
    from nbvertex.requirements import Installed

    notes = _Notes()
    found = interpreter(resolve_python(python) if python else sys.executable, notes)
    return Installed(Packages(found, notes)), found.version


def write(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Write the files; gives their paths.

    Raises:
        StoreError: one of them cannot be written.
        UsageError: there is a file where the folder would be.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder", hint="name another one with -o")
    written = []
    for name, text in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}") from error
        written.append(path)
    return written


@dataclass(frozen=True, slots=True)
class Listed:
    """A target that is installed.

    Args:
        name: what the user types.
        package: the distribution that brings it.
        supports: the options that steps may have.
        trouble: why it cannot be used.
    """

    name: str
    package: str
    supports: tuple[str, ...] = ()
    trouble: str | None = None


def targets() -> list[Listed]:
    """Every target that is installed."""
    from nbvertex import target

    found: list[Listed] = []
    for name, point in target.known().items():
        package = point.dist.name if point.dist is not None else ""
        try:
            found.append(Listed(name, package, tuple(sorted(target.find(name).SUPPORTS))))
        except UsageError as error:
            found.append(Listed(name, package, trouble=str(error)))
    return found
