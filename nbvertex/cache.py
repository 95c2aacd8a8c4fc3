"""When a step's earlier result may stand for running it: what its key is made of, and what keeps it from having one."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from nbvertex import __version__
from nbvertex.environment import Packages
from nbvertex.files import Files
from nbvertex.half_characters import as_json
from nbvertex.pipeline import Step
from nbvertex.plan import Planned
from nbvertex.state import Change, FileSeen, Inputs

IMPORTED = "@imports"  # which modules cells have imported: only what a step imports again can be seen
NEVER_SAME = {
    "clock": "reads the clock",
    "network": "reads the network",
    "process": "starts other programs",
    "input": "asks for input",
}
RANDOM = ("@random", "@numpy.random", "@torch", "@tensorflow.random")
SEEDS = re.compile(r"seed|random_state|RandomState|default_rng\s*\(\s*[\w\[]|Generator\s*\(|Random\s*\(\s*\w")
ALWAYS_READ = ("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_NUMERIC", "LC_TIME", "PYTHONHASHSEED", "TZ")
OF_A_SESSION = re.compile(
    r"_|PWD|OLDPWD|SHLVL|PPID|COLUMNS|LINES|WINDOWID|DISPLAY|.*(TERM|SESSION|SSH|DBUS|XDG|JPY|VSCODE|GIT|TMUX|PYTEST).*"
)
HISTORY = re.compile(r"_{1,3}|_i{0,3}\d*|_[iod]h|In|Out")
MOST_FILES = 2000  # a step that reads more of them runs again sooner than they are compared


def never(step: Step) -> str | None:
    """Why a step's result is never taken from an earlier run, or None; what only shows when it runs is not known here.

    Args:
        step: the step, with its facts.
    """
    if step.options.cache is not None:
        return None if step.options.cache else "is marked cache:disabled"
    for kind, why in NEVER_SAME.items():
        if kind in step.facts.outside:
            return why
    if any(cell.varies for cell in step.cells):
        return "is marked varies"
    if step.facts.everything:
        return "runs code that cannot be seen beforehand"
    if any("://" in name for name in step.facts.files_read):
        return "reads the network"
    undeclared = set(step.facts.files_written) - set(step.options.outputs)
    if undeclared:
        return f"writes files that are not declared with `out`: {', '.join(sorted(undeclared))}"
    return None


def _seeds(step: Step) -> bool:
    return any(SEEDS.search(cell.source) for cell in step.cells)


def _numbered(planned: Planned) -> bool:
    """Whether the numbers of cells can be seen: in ``Out[3]``, ``_3`` and the like."""
    names = (*(planned.live or ()), *(planned.wanted or ()))
    return planned.wanted is None or any(HISTORY.fullmatch(name) for name in names)


@dataclass(frozen=True, slots=True)
class Kept:
    """What can be told of a result when its step has run.

    Args:
        read, written: the files whose contents it depends on, and those that belong to it.
        why_not: why it may not stand for another run; None: it may.
    """

    read: tuple[FileSeen, ...] = ()
    written: tuple[FileSeen, ...] = ()
    why_not: str | None = None


class Keys:
    """Makes the keys of one run's steps.

    Args:
        steps: all of the pipeline, in notebook order.
        packages: of the environment in which they run.
        version: that environment's Python.
        files: the files they may read.
        environ: the environment variables they get.
    """

    def __init__(
        self,
        steps: Sequence[Planned],
        packages: Packages,
        version: str,
        files: Files,
        environ: Mapping[str, str],
    ) -> None:
        self._packages = packages
        self._files = files
        self._environ = environ
        self._same_for_all = [
            __version__,
            version,
            platform.system(),
            platform.machine(),
            {name: environ.get(name) for name in ALWAYS_READ},
        ]
        self._imports: list[frozenset[str]] = []  # by place: the top-level modules imported up to there
        self._again: list[list[str]] = []  # by place: the modules that an earlier step has imported already
        so_far: frozenset[str] = frozenset()
        known: set[str] = set()
        for planned in steps:
            so_far |= {module.partition(".")[0] for module in planned.step.facts.imports}
            self._imports.append(so_far)
            self._again.append(sorted(known.intersection(planned.step.facts.imports)))
            known.update(planned.step.facts.imports)
        self._versions: dict[frozenset[str], str] = {}

    def key(self, planned: Planned, inputs: Inputs) -> str | None:
        """What the result of a step is remembered under; None: it has to run.

        Args:
            planned: the step and its parameters.
            inputs: what it reads.
        """
        step = planned.step
        if never(step) is not None:
            return None
        try:
            declared = [(file.path, file.digest) for file in self._files.seen(self._declared(step))]
        except OSError:  # it cannot be read, and so neither by us: the step will say so
            return None
        made_of = [
            self._same_for_all,
            planned.code,
            [(position, name, repr(value)) for position, name, value in planned.given],
            sorted((name, entry) for name, entry in inputs.names.items() if name != IMPORTED),
            sorted((e, home) for e, home in inputs.homes().items() if e != inputs.names.get(IMPORTED)),
            self._again[planned.place],
            self._versions_of(self._modules(planned, inputs)),
            declared,
            sorted(step.options.outputs),
            [cell.count for cell in step.cells] if _numbered(planned) else None,
            self._variables() if "environ" in step.facts.outside else None,
            *([planned.round.name, planned.round.digest] if planned.round is not None else []),
        ]
        return hashlib.sha256(as_json(made_of)).hexdigest()

    def _declared(self, step: Step) -> list[str]:
        return self._files.named({*step.options.inputs, *step.facts.files_read})

    def _variables(self) -> dict[str, str]:
        return {n: v for n, v in sorted(self._environ.items()) if not OF_A_SESSION.fullmatch(n)}

    def _modules(self, planned: Planned, inputs: Inputs) -> frozenset[str]:
        """The top-level modules whose code the step may run."""
        if any("module" in held.types.values() and not held.modules for held in inputs.held):
            return self._imports[planned.place]  # an object that is a module, and nobody says which
        types = {
            kind.partition(".")[0] for held in inputs.held for kind in held.types.values() if "." in kind
        }
        own = {module.partition(".")[0] for module in planned.step.facts.imports}
        return frozenset(own | types | {module.partition(".")[0] for module in inputs.modules})

    def _versions_of(self, modules: frozenset[str]) -> str:
        if modules not in self._versions:
            found = {
                (p.name, p.version, p.record) for module in modules for p in self._packages.behind(module)
            }
            text = msgspec.json.encode([sorted(found), sorted(modules)])
            self._versions[modules] = hashlib.sha256(text).hexdigest()
        return self._versions[modules]

    def judge(
        self, planned: Planned, inputs: Inputs, change: Change, read: Iterable[str], written: Iterable[str]
    ) -> Kept:
        """What a step that has run was seen to depend on, and whether its result may stand for another run.

        Args:
            planned: the step.
            inputs: what it read.
            change: what it did to the state.
            read, written: the files that it opened.
        """
        step = planned.step
        declared = self._files.named(step.options.outputs)
        results = self._files.results(written)
        sources = self._files.inputs(read)
        known = set(self._declared(step))  # what was in them before is part of the key
        both = [path for path in sources if path in {*results, *declared} and path not in known]
        sources = [path for path in sources if path not in {*results, *declared}]
        if both and not step.options.cache:
            return Kept(why_not=f"reads a file that it writes: {both[0]}")
        if len(sources) > MOST_FILES:
            return Kept(why_not=f"reads {len(sources):,} files")
        try:
            kept = Kept(self._files.seen(sources), self._files.seen(p for p in declared if os.path.isfile(p)))
        except OSError as error:
            return Kept(why_not=f"reads a file that cannot be compared: {error}")
        if step.options.cache:
            return kept
        why = self._why_not(step, inputs, change, sources, [path for path in results if path not in declared])
        return replace(kept, why_not=why)

    def _why_not(
        self, step: Step, inputs: Inputs, change: Change, sources: list[str], undeclared: list[str]
    ) -> str | None:
        if undeclared:
            return f"writes files that are not declared with `out`: {', '.join(undeclared[:3])}"
        literal = self._files.named([*step.facts.files_read, *step.options.inputs, *step.options.outputs])
        if "files" in step.facts.outside and not sources and not literal:
            return "touches files that could not be observed"
        drawn = [name for name in RANDOM if name in change.names and inputs.names.get(name) is None]
        flagged = "random" in step.facts.outside and not any(inputs.names.get(name) for name in RANDOM)
        if (drawn or flagged) and not _seeds(step):
            return "draws random numbers without a seed"
        return None
