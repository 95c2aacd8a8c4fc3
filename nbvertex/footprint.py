"""The files that steps were seen to touch, as the `in:` and `out:` marks that a run elsewhere needs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbvertex.files import Files
from nbvertex.lineage import Touched
from nbvertex.pipeline import Step

MANY = 3  # files of one folder that are named one by one
SYSTEM = (
    "/etc/",
    "/usr/",
    "/lib",
    "/bin/",
    "/sbin/",
    "/var/lib/",
    "/var/cache/",
)  # every machine has its own
NO_DATA = (".git/", ".ipynb_checkpoints/", "__pycache__/")


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of one kind on a step.

    Args:
        add: what they should say beside what they say now.
        declared: what they say, and was touched.
        idle: what they say, and was not.
    """

    add: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a step was seen to do to files; paths are relative to the working folder.

    Args:
        step: its name.
        cells: their positions.
        inputs, outputs: the `in:` and the `out:` marks.
        flows: file -> the earlier step that writes it, for the files that it reads.
        both: files that it reads and writes: whether they are there before, nobody saw.
        outside: files that it reads or writes outside the working folder.
        modules: the notebook's own modules, which travel with the code.
        seen: whether it has run to its end.
        changed: its code is another one now.
        blind: it starts programs, and what those touch is not seen.
    """

    step: str
    cells: tuple[int, ...]
    inputs: Marks = Marks()
    outputs: Marks = Marks()
    flows: Mapping[str, str] | None = None
    both: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    seen: bool = True
    changed: bool = False
    blind: bool = False


def footprints(
    steps: Sequence[Step], touched: Mapping[str, Touched], changed: Iterable[str], files: Files, cwd: Path
) -> list[Footprint]:
    """What every step was seen to touch.

    Args:
        steps: of the notebook as it is now, in order.
        touched: step -> what it opened; only those that have run to their end.
        changed: the steps whose code was another one then.
        files: tells which files count.
        cwd: the working folder.
    """
    writers: dict[str, str] = {}
    imported = {module.partition(".")[0] for step in steps for module in step.facts.imports}
    stale = frozenset(changed)
    found = []
    for step in steps:
        one = _Step(step, touched.get(step.name), files, str(cwd), imported)
        found.append(one.footprint(writers, step.name in stale))
        writers.update(dict.fromkeys(one.written, step.name))
    return found


class _Step:
    """What one step touched, sorted out.

    Args:
        step: it.
        touched: what it opened; None where nobody knows.
        files: tells which files count.
        cwd: the working folder.
        imported: the modules that the notebook imports, by their first names.
    """

    def __init__(
        self, step: Step, touched: Touched | None, files: Files, cwd: str, imported: set[str]
    ) -> None:
        self.step, self.seen = step, touched is not None
        self._files, self._top = files, cwd.rstrip(os.sep) + os.sep
        opened = touched or Touched()
        read = {*files.inputs(opened.read), *self._named(step.facts.files_read)}
        self.written = {*files.results(opened.written), *self._named(step.facts.files_written)}
        there = {path for path in read if os.path.isfile(path) and not self._aside(path)}
        self.modules = {path for path in there if self._is_module(path, imported)}
        self.read = there - self.modules
        self.written = {path for path in self.written if os.path.isfile(path) and not self._aside(path)}

    def _named(self, names: Iterable[str]) -> list[str]:
        return self._files.named(name for name in names if "://" not in name)

    def _aside(self, path: str) -> bool:
        home = os.path.expanduser("~/.")
        inside = path.removeprefix(self._top) if path.startswith(self._top) else None
        if inside is not None:
            return any(f"/{inside}".find(f"/{part}") >= 0 for part in NO_DATA)
        return path.startswith((*SYSTEM, home))

    def _is_module(self, path: str, imported: set[str]) -> bool:
        inside = path.removeprefix(self._top).removesuffix(".py")
        return path.endswith(".py") and inside.partition(os.sep)[0] in imported

    def footprint(self, writers: Mapping[str, str], changed: bool) -> Footprint:
        """Put it in words.

        Args:
            writers: file -> the last of the earlier steps that wrote it.
            changed: the code is another one now.
        """
        both = self.read & self.written
        flows = {path: writers[path] for path in self.read if path in writers}
        read = {path for path in self.read - both if path not in flows}
        options = self.step.options
        return Footprint(
            step=self.step.name,
            cells=tuple(cell.position for cell in self.step.cells),
            inputs=self._marks(options.inputs, read, self.read),
            outputs=self._marks(options.outputs, self.written, self.written),
            flows={self._short(path): step for path, step in sorted(flows.items())},
            both=tuple(sorted(self._short(path) for path in both if path not in flows)),
            outside=tuple(sorted(p for p in self.read | self.written if not p.startswith(self._top))),
            modules=tuple(sorted(self._short(path) for path in self.modules)),
            seen=self.seen,
            changed=changed,
            blind="process" in self.step.facts.outside,
        )

    def _marks(self, said: Sequence[str], wanted: set[str], touched: set[str]) -> Marks:
        covered = {mark: set(self._named([mark])) for mark in said}
        here = {path for path in wanted if path.startswith(self._top)}
        missing = here.difference(*covered.values())
        idle = {m for m, paths in covered.items() if self.seen and "://" not in m and not paths & touched}
        return Marks(
            tuple(gathered({path.removeprefix(self._top) for path in missing}, Path(self._top))),
            tuple(mark for mark in said if mark not in idle),
            tuple(mark for mark in said if mark in idle),
        )

    def _short(self, path: str) -> str:
        return path.removeprefix(self._top)


def gathered(paths: set[str], top: Path) -> list[str]:
    """The same files in fewer words: a folder where all in it is meant, a pattern where all of a kind are.

    Args:
        paths: relative to the folder.
        top: the folder, which is never named itself.
    """
    return sorted(_gathered(paths, top, ""))


def _gathered(paths: set[str], top: Path, folder: str) -> Iterator[str]:
    beneath = {path for path in paths if path.startswith(folder)}
    if folder and len(beneath) > MANY and beneath == set(_all_below(top, folder)):
        yield folder.rstrip("/")
        return
    here = {path for path in beneath if "/" not in path[len(folder) :]}
    for suffix in sorted({os.path.splitext(path)[1] for path in here}):
        alike = {path for path in here if os.path.splitext(path)[1] == suffix}
        pattern = f"{folder}*{suffix}"
        exact = suffix and alike == {p.relative_to(top).as_posix() for p in top.glob(pattern) if p.is_file()}
        yield from [pattern] if len(alike) > MANY and exact else alike
    for below in sorted({folder + path[len(folder) :].partition("/")[0] + "/" for path in beneath - here}):
        yield from _gathered(beneath, top, below)


def _all_below(top: Path, folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(top / folder):
        folders[:] = [name for name in folders if f"{name}/" not in NO_DATA]
        yield from (os.path.relpath(os.path.join(place, name), top) for name in names)
