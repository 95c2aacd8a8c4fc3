"""What must be installed for a step: the distributions behind what it imports, at the versions that are installed here."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbvertex.environment import Package, Packages
from nbvertex.errors import Place, Problem

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_BOUND = re.compile(r"(===|[=!<>~]=|[<>])\s*([\w.*+!-]+)")
_ALWAYS = ("ipython",)  # in which the cells run
_OURS = "nbvertex"


@dataclass(frozen=True, slots=True)
class Pins:
    """What a step needs.

    Args:
        lines: requirements, sorted by name; one each.
        local: distributions that no index has, since they are run from a folder; their modules.
    """

    lines: tuple[str, ...] = ()
    local: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Installed:
    """The distributions of an environment, asked by module.

    Args:
        packages: the environment.
    """

    def __init__(self, packages: Packages) -> None:
        self._packages = packages
        self.paths = packages.interpreter.paths
        self._files: dict[str, frozenset[str]] = {}

    def distributions(self, module: str) -> tuple[Package, ...]:
        """Those that a dotted module comes from; none where it is Python's own, or not installed."""
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names:
            return ()
        found = self._packages.bringing(top)
        if len(found) < 2:
            return found
        parts = module.split(".")
        for length in range(len(parts), 0, -1):  # the packages of a namespace are told apart by their files
            path = "/".join(parts[:length])
            bring = tuple(one for one in found if self._brings(one, path))
            if bring:
                return bring if length > 1 or len(parts) == 1 else ()
        return ()

    def _brings(self, package: Package, path: str) -> bool:
        if package.name not in self._files:
            self._files[package.name] = _modules_of(package.name, self.paths)
        return path in self._files[package.name]

    def needed(self, packages: Iterable[Package]) -> dict[str, Package]:
        """These distributions and all that they need, by name."""
        known = self._packages.all()
        found: dict[str, Package] = {}
        queue = [package.name for package in packages]
        while queue:
            name = queue.pop()
            if name in known and name not in found:
                found[name] = known[name]
                queue.extend(known[name].requires)
        return found

    def named(self, name: str) -> Package | None:
        """The distribution of that name."""
        return self._packages.all().get(normal(name))


def normal(name: str) -> str:
    """A distribution's name as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _modules_of(name: str, paths: tuple[str, ...]) -> frozenset[str]:
    """The modules of a distribution, and the regular packages that they lie in, as paths without suffix."""
    found: set[str] = set()
    for distribution in importlib.metadata.distributions(name=name, path=list(paths)):
        for file in distribution.files or ():
            path = file.as_posix()
            if path.endswith((".py", ".so", ".pyd")) and not path.startswith(".."):
                stem = path.partition(".")[0]
                found.add(stem.removesuffix("/__init__"))
        break
    return frozenset(found)


def pins(
    installed: Installed, modules: Iterable[str], asked: Iterable[str], *, extra: Iterable[str] = ()
) -> Pins:
    """What must be installed for code that imports some modules.

    Args:
        installed: the environment.
        modules: dotted; what is not installed asks for nothing.
        asked: requirements in the user's own words; they are pinned to what is installed where that is another version
            of the same, else kept as they are.
        extra: distributions to pin beside these, where they are installed.
    """
    named = [installed.named(name) for name in (*_ALWAYS, *extra)]
    roots = [package for module in modules for package in installed.distributions(module)]
    said: dict[str, str] = {}
    for line in asked:
        found = _NAME.match(line)
        package = installed.named(found[1]) if found else None
        if package is not None and _may_be_pinned(line) and _allows(line, package.version):
            roots.append(package)
        else:
            said[normal(found[1]) if found else line] = line.strip()
    roots = [one for one in roots if one.name != _OURS]  # steps need nothing of ours
    needed = installed.needed([*roots, *(one for one in named if one is not None)])
    lines, local = dict(said), {}
    for name, package in needed.items():
        if name in said:
            continue
        origin = _origin(package, installed)
        if origin == "":
            local[name] = package.modules
        else:
            lines[name] = origin or f"{name}=={package.version.partition('+')[0]}"
    return Pins(tuple(lines[name] for name in sorted(lines)), local)


def _allows(line: str, version: str) -> bool:
    """Whether the words allow a version, for all that plain numbers tell."""
    have = _numbers(version)
    for op, text in _BOUND.findall(line):
        want = _numbers(text)
        if op in ("==", "===") and (have[: len(want)] != want if text.endswith("*") else have != want):
            return False
        if (
            (op == "!=" and have == want)
            or (op in (">=", "~=") and have < want)
            or (op == "<=" and have > want)
        ):
            return False
        if (op == "<" and have >= want) or (op == ">" and have <= want):
            return False
        if op == "~=" and have[: len(want) - 1] != want[:-1]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    numbers = [int(number) for number in found[1].split(".")] if found else []
    while numbers and not version.endswith("*") and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _may_be_pinned(line: str) -> bool:
    """Whether the words leave open where it comes from and whether it is wanted here."""
    return "@" not in line and ";" not in line and "[" not in line and "://" not in line


def _origin(package: Package, installed: Installed) -> str | None:
    """Where a distribution was installed from: None for an index, a requirement for a repository, empty for a folder."""
    for distribution in importlib.metadata.distributions(name=package.name, path=list(installed.paths)):
        url = json.loads(distribution.read_text("direct_url.json") or "{}")
        if not url:
            return None
        version = url.get("vcs_info")
        if version:
            return f"{package.name} @ {version['vcs']}+{url['url']}@{version['commit_id']}"
        if url["url"].startswith("file:"):
            return ""
        return f"{package.name} @ {url['url']}"
    return None


def lines_of(requirement: str, folder: Path, place: Place) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """A line of ``%pip install`` as requirements: ``-r FILE`` is read.

    Args:
        requirement: one word of the line.
        folder: the notebook's.
        place: where it stands.
    """
    kind, _, rest = requirement.partition(" ")
    if kind == "-e":
        return (), (Problem("editable", f"`-e {rest}` installs a folder of this machine", place,
                            "put its modules beside the notebook, or install a release"),)  # fmt: skip
    if kind not in ("-r", "-c"):
        return (requirement,), ()
    if kind == "-c":
        return (), ()
    try:
        text = (folder / rest).read_text(encoding="utf-8")
    except OSError as error:
        return (), (Problem("requirements", f"{rest} cannot be read: {error.strerror}", place),)
    return tuple(_read(text)), ()


def _read(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        if line and not line.startswith("-"):
            yield " ".join(word for word in shlex.split(line) if not word.startswith("--"))
