"""What lies beside a notebook and travels with it: the modules that it imports from there, and the files that it declares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nbvertex import imports, keys
from nbvertex.errors import Place, Problem
from nbvertex.imports import Imported

_LEFT_OUT = frozenset(
    {
        "__pycache__",
        ".ipynb_checkpoints",
        ".git",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".nbvertex",
        ".venv",
    }
)
_NOT_SENT = (".pyc", ".pyo")


@dataclass
class Beside:
    """Gathers what lies beside a notebook.

    Args:
        folder: the notebook's own.
        files: path in that folder -> its bytes, of what was taken.
        imported: the modules that come from elsewhere: of these files, and what was asked for.
        problems: what cannot be taken.
    """

    folder: Path
    files: dict[str, bytes] = field(default_factory=dict)
    imported: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def modules(self, asked: Imported, place: Place) -> frozenset[str]:
        """Take the modules that are imported from here, and what these import.

        Args:
            asked: what the code imports.
            place: whose code it is.

        Returns:
            the modules that come from elsewhere.
        """
        elsewhere: set[str] = set()
        queue = [(name, "") for name in sorted(asked.modules)]
        queue += [(script, "script") for script in sorted(asked.scripts)]
        seen = set()
        while queue:
            name, package = queue.pop()
            if (name, package) in seen:
                continue
            seen.add((name, package))
            if package == "script":
                found = [self.folder / name] if (self.folder / name).is_file() else []
            else:
                dotted = _absolute(name, package)
                found = list(self._found(dotted))
                if not found and dotted:
                    elsewhere.add(dotted)
            for path in found:
                self._take(path, place)
                if path.suffix in (".py", ".ipy"):
                    inside = ".".join(path.relative_to(self.folder).parent.parts)
                    told = imports.of_module(_text(path))
                    queue += [(module, inside) for module in told.modules]
        self.imported |= elsewhere
        return frozenset(elsewhere)

    def _found(self, dotted: str) -> Iterator[Path]:
        """The files of a module that lies here: its own, its packages' above it, and all that its package brings."""
        parts = dotted.split(".")
        at = self.folder
        for number, part in enumerate(parts):
            package, module = at / part, at / f"{part}.py"
            if number == 0 and (package / "__init__.py").is_file():
                yield from _all_below(package)  # with its data, which only its own code knows of
                return
            if module.is_file():
                yield module
                return
            if package.is_dir() and any(package.glob("*.py")):  # a namespace package, or a part of one
                if number == len(parts) - 1:
                    yield from _all_below(package)
                at = package
                continue
            compiled = next(at.glob(f"{part}.*.so"), None)
            if compiled is not None:
                yield compiled
            elif number:  # a name within the package above
                yield from _all_below(at)
            return

    def data(self, pattern: str, made: frozenset[str], place: Place) -> None:
        """Take a file or a folder that a step declares with ``in:``.

        Args:
            pattern: its path, wildcards allowed.
            made: paths that earlier steps write.
            place: the step.
        """
        if "://" in pattern or pattern in made:
            return
        if os.path.isabs(pattern) or ".." in Path(pattern).parts or pattern.startswith("~"):
            self._problem(
                "outside-file",
                f"`in:{pattern}` does not lie below the notebook's folder",
                place,
                "put it there, or read it from a bucket",
            )
            return
        wild = any(sign in pattern for sign in "*?[")
        found = sorted(self.folder.glob(pattern)) if wild else [self.folder / pattern]
        paths = [path for one in found for path in (_all_below(one) if one.is_dir() else [one])]
        if not paths or not all(path.exists() for path in paths):
            self._problem(
                "missing-file",
                f"`in:{pattern}`: there is no such file beside the notebook, and no step before writes it",
                place,
                "name it as the code does, from the notebook's folder",
            )
            return
        for path in paths:
            self._take(path, place)

    def _take(self, path: Path, place: Place) -> None:
        name = path.relative_to(self.folder).as_posix()
        if name in self.files:
            return
        if not path.resolve().is_relative_to(self.folder.resolve()):
            self._problem(
                "outside-file",
                f"{name} leads out of the notebook's folder",
                place,
                "put the file itself there",
            )
            return
        try:
            data = path.read_bytes()
        except OSError as error:
            self._problem("unreadable-file", f"{name} cannot be read: {error.strerror}", place, None)
            return
        secret = keys.told(name, data)
        if secret is not None:
            self._problem(
                "key-file",
                f"{name} holds {secret}, and would be sent along",
                place,
                "keep it out of the notebook's folder, and fetch it with `secret:` where it is needed",
            )
            return
        self.files[name] = data

    def _problem(self, code: str, message: str, place: Place, hint: str | None) -> None:
        problem = Problem(code, message, place, hint)
        if problem not in self.problems:
            self.problems.append(problem)


def _absolute(name: str, package: str) -> str:
    """A module's name without leading dots, as seen from a module of that package."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    parts = package.split(".") if package else []
    return ".".join([*parts[: len(parts) - level + 1], name[level:]]).strip(".")


def _all_below(folder: Path) -> Iterator[Path]:
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        yield from (Path(top, name) for name in sorted(names) if not name.endswith(_NOT_SENT))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
