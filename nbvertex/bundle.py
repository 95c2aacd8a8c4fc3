"""What travels to a container: the steps, the runtime, the modules and files beside the notebook, what to install."""

from __future__ import annotations

import hashlib
import importlib.machinery
import io
import lzma
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbvertex import hashes, imports, keys, requirements, travel
from nbvertex.beside import Beside
from nbvertex.errors import Place, Problem, ProblemsFound
from nbvertex.hashes import Hashes
from nbvertex.imports import Imported
from nbvertex.pipeline import Pipeline, Step
from nbvertex.requirements import Installed, Pins
from nbvertex.travel import Traveller

RUNTIME = Path(__file__).parent / "runtime"
_OURS = "nbvertex"
_STAND_IN = '''"""Stands in for nbvertex where steps run: their marks have been read already."""


def load_ipython_extension(shell):
    """Take the lines that are for the notebook's author."""
    shell.register_magic_function(lambda line, cell=None: None, "line_cell", "nbvertex")


def unload_ipython_extension(shell):
    """Nothing is left to undo."""
'''


@dataclass(frozen=True, slots=True)
class Bundle:
    """A pipeline that can travel.

    Args:
        pipeline: what travels.
        steps: its steps.
        requirements: name of a step -> what must be installed for it, one requirement each.
        kit: the runtime and what lies beside the notebook, as a compressed archive; the same for the same input.
        python: the version of Python, like ``3.12``.
        beside: the paths of what was taken from beside the notebook.
        hashes: of distributions, where a lock file tells them.
        warnings: what is odd but no error.
    """

    pipeline: Pipeline
    steps: tuple[Traveller, ...]
    requirements: Mapping[str, tuple[str, ...]]
    kit: bytes
    python: str
    beside: tuple[str, ...] = ()
    hashes: Hashes = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()

    @property
    def digest(self) -> str:
        """The SHA-256 of the kit."""
        return hashlib.sha256(self.kit).hexdigest()


def make(pipeline: Pipeline, folder: Path, installed: Installed, python: str) -> Bundle:
    """Put together what a pipeline needs where there is no nbvertex.

    Args:
        pipeline: the pipeline.
        folder: the notebook's folder.
        installed: the environment whose versions are pinned.
        python: its Python's version.

    Raises:
        ProblemsFound: a file holds a key, is missing, or lies elsewhere; all of them.
    """
    making = _Making(pipeline, folder, installed)
    needed = {step.name: making.step(step) for step in pipeline.steps}
    making.look_for_undeclared()
    if any(problem.is_error for problem in making.problems):
        raise ProblemsFound(making.problems)
    steps = travel.travellers(pipeline)
    pins = {one.step.name: making.pins(one, needed) for one in steps}
    lines = {name: one.lines for name, one in pins.items()}
    local = {top for one in pins.values() for modules in one.local.values() for top in modules}
    files = {f"beside/{name}": data for name, data in making.beside.files.items()}
    files |= {f"site/{name}": data for name, data in _local_packages(local, installed.paths)}
    files |= {f"runtime/{path.name}": path.read_bytes() for path in sorted(RUNTIME.glob("*.py"))}
    if making.names_us:
        files[f"site/{_OURS}/__init__.py"] = _STAND_IN.encode()
    return Bundle(
        pipeline,
        tuple(one.needing(lines[one.step.name]) for one in steps),
        lines,
        archive(files),
        ".".join(python.split(".")[:2]),
        tuple(sorted(making.beside.files)),
        hashes.found(folder),
        tuple(making.problems),
    )


@dataclass(frozen=True, slots=True)
class Needed:
    """What a step asks for: modules from elsewhere, requirements in the user's words, and its code."""

    modules: frozenset[str]
    asked: tuple[str, ...]
    text: str


class _Making:
    """Goes through the steps, and gathers what they need.

    Args:
        pipeline, folder, installed: see `make`.
    """

    def __init__(self, pipeline: Pipeline, folder: Path, installed: Installed) -> None:
        self.pipeline, self.folder, self.installed = pipeline, folder, installed
        self.beside = Beside(folder)
        self.made: set[str] = set()  # paths that the steps so far write
        self.names_us = False
        self._found: list[Problem] = []

    @property
    def problems(self) -> list[Problem]:
        """What is wrong, each once."""
        return list(dict.fromkeys([*self._found, *self.beside.problems]))

    def step(self, step: Step) -> Needed:
        """Take what a step needs from beside the notebook; gives what it asks for beside that."""
        modules: set[str] = set()
        asked: list[str] = list(step.options.requires)
        for cell in step.cells:
            place = Place(notebook=self.pipeline.notebook, cell=cell.position, step=step.name)
            secret = keys.in_text(cell.source)
            if secret is not None:
                self._found.append(
                    Problem(
                        "key-in-cell",
                        f"the cell holds {secret}, and would be sent along",
                        place,
                        "fetch it with `secret:` where it is needed",
                    )
                )
            told = imports.of_cell(cell.source)
            told = Imported(told.modules.union(cell.facts.imports), told.scripts)
            modules |= self.beside.modules(told, place)
            for requirement in cell.facts.requirements:
                lines, problems = requirements.lines_of(requirement, self.folder, place)
                asked += lines
                self._found += problems
        for path in step.options.inputs:
            self.beside.data(
                path, frozenset(self.made), Place(notebook=self.pipeline.notebook, step=step.name)
            )
        self.made |= {*step.options.outputs, *step.facts.files_written}
        self.names_us |= any(module.partition(".")[0] == _OURS for module in modules)
        text = "\n".join(cell.source for cell in step.cells)
        return Needed(frozenset(modules), tuple(asked), text)

    def look_for_undeclared(self) -> None:
        """Find files that lie beside the notebook, that a step reads, and that nobody has declared."""
        for step in self.pipeline.steps:
            for cell in step.cells:
                for path in cell.facts.files_read:
                    if path in self.made or not self._is_beside(path):
                        continue
                    self._found.append(
                        Problem(
                            "undeclared-file",
                            f"`{path}` is read here, and nothing says that it travels",
                            Place(notebook=self.pipeline.notebook, cell=cell.position, step=step.name),
                            f"mark the cell with `in:{path}`, or read it from a bucket",
                            "warning",
                        )
                    )

    def _is_beside(self, path: str) -> bool:
        """Whether it is a file beside the notebook that does not come along."""
        if "://" in path or os.path.isabs(path) or path in self.beside.files:
            return False
        return (self.folder / path).is_file() and os.path.normpath(path) not in self.beside.files

    def pins(self, one: Traveller, needed: Mapping[str, Needed]) -> Pins:
        """What must be installed for a step: its values may be of types that the steps before it have imported."""
        names = [self.pipeline.steps[place].name for place in one.before.all]
        every = [needed[name] for name in (*names, one.step.name)]
        modules = {module for said in every for module in said.modules}
        tops = frozenset(module.partition(".")[0] for module in modules)
        for said in every:
            modules |= imports.optional(tops, said.text)
        asked = dict.fromkeys(line for said in every for line in said.asked)
        return requirements.pins(self.installed, sorted(modules), asked)


def _local_packages(tops: Iterable[str], paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The files of packages that are run from a folder in which they are being developed."""
    for top in sorted(tops):
        spec = importlib.machinery.PathFinder.find_spec(top, list(paths))
        if spec is None:
            continue
        for folder in spec.submodule_search_locations or ():
            for at, below, names in os.walk(folder):
                below[:] = sorted(name for name in below if name != "__pycache__")
                for name in sorted(names):
                    path = Path(at, name)
                    if path.suffix != ".pyc":
                        yield f"{top}/{path.relative_to(folder).as_posix()}", path.read_bytes()
        if not spec.submodule_search_locations and spec.origin and spec.origin.endswith(".py"):
            yield Path(spec.origin).name, Path(spec.origin).read_bytes()


def archive(files: Mapping[str, bytes]) -> bytes:
    """The files as one compressed archive; equal files give equal bytes, whoever makes it and whenever.

    Args:
        files: path, with ``/`` -> content.
    """
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(files[name]), 0o644
            tar.addfile(member, io.BytesIO(files[name]))
    return lzma.compress(plain.getvalue(), preset=6)
