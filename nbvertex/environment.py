"""What the Python of a run's steps has installed, found out without starting it or importing anything."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from nbvertex.errors import Refused
from nbvertex.pipeline import Record

ASK = (
    "import json, platform, sys, sysconfig;"
    "print(json.dumps([platform.python_version(), sys.prefix, sys.base_prefix,"
    " [p for p in sys.path if p], [sysconfig.get_path('stdlib'), sysconfig.get_path('platstdlib')]]))"
)
FOR_DEVELOPERS = frozenset(
    [
        "test",
        "tests",
        "testing",
        "dev",
        "doc",
        "docs",
        "documentation",
        "lint",
        "typing",
        "benchmark",
        "build",
    ]
)


class Notes(Protocol):
    """A place for what takes long to find out."""

    def read(self, name: str) -> str | None: ...
    def write(self, name: str, value: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that steps run in.

    Args:
        python: its executable.
        version: like ``3.12.4``.
        prefixes: the folders of the environment and of the Python that it was made from.
        paths: where it looks for modules.
        stdlib: those of them that belong to Python itself.
    """

    python: str
    version: str
    prefixes: tuple[str, ...]
    paths: tuple[str, ...]
    stdlib: tuple[str, ...]

    def owns(self, path: str) -> bool:
        """Whether the file came with Python or an installed package, so that versions tell what is in it."""
        inside = path.startswith(tuple(f"{folder}/" for folder in self.stdlib))
        return inside or any(f"/{part}/" in path for part in ("site-packages", "dist-packages"))


class Package(Record, frozen=True, kw_only=True):
    """An installed distribution.

    Args:
        name: normalised.
        version: as its metadata says.
        record: digest of the list of its files.
        modules: the top-level modules that it brings.
        requires: the names of the distributions that it needs.
        uses: those that it uses where they happen to be installed.
        editable: it is run from a folder in which it is being developed.
    """

    name: str
    version: str
    record: str = ""
    modules: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    editable: bool = False


def interpreter(python: str, notes: Notes) -> Interpreter:
    """Learn to know a Python; another than this one is started once, and again when its file has changed.

    Raises:
        Refused: it does not start.
    """
    if os.path.abspath(python) == os.path.abspath(sys.executable):
        stdlib = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
        paths = tuple(path for path in sys.path if path)
        version = ".".join(map(str, sys.version_info[:3]))
        return Interpreter(python, version, (sys.prefix, sys.base_prefix), paths, stdlib)
    seen = [_signature(Path(python)), _signature(Path(python).parent.parent / "pyvenv.cfg")]
    name = f"python {os.path.abspath(python)}"
    known = json.loads(notes.read(name) or "null")
    if known is None or known[0] != seen:
        known = [seen, _ask(python)]
        notes.write(name, json.dumps(known))
    version, prefix, base, paths, stdlib = known[1]
    return Interpreter(python, version, (prefix, base), tuple(paths), tuple(stdlib))


def _ask(python: str) -> list[object]:
    try:
        answer = subprocess.run([python, "-c", ASK], capture_output=True, check=True, timeout=60, cwd="/")
        found: list[object] = json.loads(answer.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise Refused(f"{python} cannot be started: {error}", code="python") from error
    return found


class Packages:
    """The distributions of an environment.

    Args:
        interpreter: the environment's Python.
        notes: keeps what was read until a package is added or removed.
    """

    def __init__(self, interpreter: Interpreter, notes: Notes) -> None:
        self.interpreter = interpreter
        self._notes = notes
        self._by_name: dict[str, Package] | None = None
        self._by_module: dict[str, list[str]] = {}
        self._reach: dict[str, tuple[Package, ...]] = {}

    def all(self) -> dict[str, Package]:
        """Every distribution by its name; the one that is found first wins."""
        if self._by_name is None:
            self._by_name = {}
            for folder in dict.fromkeys(self.interpreter.paths):
                for package in self._read(Path(folder)):
                    self._by_name.setdefault(package.name, package)
            for package in self._by_name.values():
                for module in package.modules:
                    self._by_module.setdefault(module, []).append(package.name)
        return self._by_name

    def bringing(self, module: str) -> tuple[Package, ...]:
        """The distributions that a top-level module comes from."""
        known = self.all()
        return tuple(known[name] for name in self._by_module.get(module, ()))

    def behind(self, module: str) -> tuple[Package, ...]:
        """The distributions that a top-level module comes from, needs, and may use; empty: none."""
        if module not in self._reach:
            known = self.all()
            needed: set[str] = set()
            queue = list(self._by_module.get(module, ()))
            while queue:
                name = queue.pop()
                if name in known and name not in needed:
                    needed.add(name)
                    queue.extend(known[name].requires)
            used = {name for needs in needed for name in known[needs].uses if name in known}
            self._reach[module] = tuple(known[name] for name in sorted(needed | used))
        return self._reach[module]

    def installed(self, module: str) -> bool:
        """Whether a module (dotted) comes with Python or an installed package, so that it does not change."""
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names:
            return True
        known = self.all()
        brought = self._by_module.get(top, ())
        return bool(brought) and not any(known[name].editable for name in brought)

    def _read(self, folder: Path) -> list[Package]:
        seen = _signature(folder)
        if not seen or not folder.is_dir():
            return []
        name = f"packages {folder}"
        known = json.loads(self._notes.read(name) or "null")
        if known is not None and known[0] == seen:
            return msgspec.convert(known[1], list[Package])
        found = [package for entry in sorted(folder.iterdir()) if (package := _package(entry)) is not None]
        self._notes.write(name, json.dumps([seen, msgspec.to_builtins(found)]))
        return found


def _package(entry: Path) -> Package | None:
    if entry.suffix not in (".dist-info", ".egg-info"):
        return None
    metadata = (
        _text(entry / "METADATA") or _text(entry / "PKG-INFO") or (_text(entry) if entry.is_file() else "")
    )
    head = metadata.partition("\n\n")[0]
    name, version = _field(head, "Name"), _field(head, "Version")
    if not name:
        return None
    record = _text(entry / "RECORD")
    requires, uses = _dependencies(head)
    return Package(
        name=_normal(name),
        version=version,
        record=hashlib.sha256(record.encode()).hexdigest()[:16] if record else "",
        modules=tuple(sorted(set(_modules(entry, record)))),
        requires=requires,
        uses=uses,
        editable=_is_editable(entry),
    )


def _modules(entry: Path, record: str) -> Iterator[str]:
    yield from _text(entry / "top_level.txt").split()
    for line in record.splitlines():
        first, _, rest = line.split(",", 1)[0].partition("/")
        if rest and first.isidentifier():
            yield first
        elif not rest and first.endswith((".py", ".so", ".pyd")):
            yield first.partition(".")[0]


def _dependencies(head: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The distributions that one needs, and those that it uses if they are there, its developers' tools aside."""
    needed: set[str] = set()
    optional: dict[bool, set[str]] = {True: set(), False: set()}
    for value in re.findall(r"^Requires-Dist:\s*(.+)$", head, re.MULTILINE):
        name = re.match(r"[\w.-]+", value)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", value)
        if name and extra:
            optional[extra[1].lower() in FOR_DEVELOPERS].add(_normal(name[0]))
        elif name:
            needed.add(_normal(name[0]))
    return tuple(sorted(needed)), tuple(sorted(optional[False] - optional[True] - needed))


def _is_editable(entry: Path) -> bool:
    try:
        url = json.loads(_text(entry / "direct_url.json") or "{}")
    except ValueError:
        return False
    return bool(url.get("dir_info", {}).get("editable"))


def _field(head: str, name: str) -> str:
    found = re.search(rf"^{name}:\s*(.+?)\s*$", head, re.MULTILINE)
    return found[1] if found else ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _signature(path: Path) -> list[int]:
    """What changes when a file or the list of a folder's files does; empty where there is nothing."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_mtime_ns, found.st_size, found.st_ino]
