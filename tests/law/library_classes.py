"""The table of library objects, and how each fares: `nox -s libraries` prints it by library."""

from __future__ import annotations

import collections
import importlib.util
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from running import Bench, Cell, Verdict

TABLE = Path(__file__).resolve().parent.parent / "cases" / "library_classes.toml"
STEPS = ("declare", "change", "read")
PATIENCE = 600.0  # seconds; some libraries take many to be imported, and each of their steps must do so


@dataclass(frozen=True, slots=True)
class Case:
    """An object of a library, and what must hold for it.

    Args:
        name: its class, or what it is.
        library: whose it is.
        declare, change, read: the three steps.
        holds: ``equal`` or ``refused``.
        says: what the refusal must name.
        needs: the modules that must be installed; else just the library.
        study: the class is one of the published study.
    """

    name: str
    library: str
    declare: str
    change: str
    read: str
    holds: str = "equal"
    says: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    study: bool = True

    @property
    def modules(self) -> tuple[str, ...]:
        """What it imports beside the standard library."""
        return self.needs or (() if self.library == "python" else (self.library,))

    @property
    def missing(self) -> list[str]:
        """Modules that are not installed."""
        return [name for name in self.modules if importlib.util.find_spec(name) is None]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The notebook, a cell for each step."""
        sources = (self.declare, self.change, self.read)
        return tuple(Cell(s.strip("\n"), (f"step:{name}",)) for s, name in zip(sources, STEPS, strict=True))

    def fault(self, verdict: Verdict) -> str:
        """What does not hold, or nothing."""
        if verdict.straight.failure is not None:
            return f"Run All fails: {verdict.straight}"
        if verdict.kind != self.holds:
            return f"{verdict.kind}, not {self.holds}: {verdict.why}"
        if not all(word in verdict.why for word in self.says):
            return f"no word of {self.says}: {verdict.why}"
        return "" if all(one.hint for one in verdict.stepped.refusals) else f"no mend: {verdict.why}"


def read() -> Iterator[Case]:
    """The table."""
    for name, given in tomllib.loads(TABLE.read_text(encoding="utf-8")).items():
        says, needs = tuple(given.pop("says", ())), tuple(given.pop("needs", ()))
        yield Case(name, says=says, needs=needs, **given)


CASES = tuple(read())


class Benches:
    """The warm processes of the library whose turn it is: they have imported what its cases need, and no more."""

    def __init__(self) -> None:
        self._modules: tuple[str, ...] | None = None
        self._bench: Bench | None = None

    def __enter__(self) -> Benches:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bench is not None:
            self._bench.__exit__(None, None, None)
            self._bench = None

    def judge(self, case: Case) -> Verdict:
        """Run a case straight and as steps, and compare."""
        if self._bench is None or case.modules != self._modules:
            self._close()
            self._bench, self._modules = Bench(case.modules, PATIENCE), case.modules
        return self._bench.judge(case.cells)


def main() -> int:
    """Run all that can run here and print what became of them; returns the number of cases that do not hold."""
    counts: dict[str, collections.Counter[str]] = {}
    study: collections.Counter[str] = collections.Counter()
    faults = 0
    with Benches() as benches:
        for case in CASES:
            kind = "not installed"
            if not case.missing:
                verdict = benches.judge(case)
                kind = {"equal": "carried"}.get(verdict.kind, verdict.kind)
                if fault := case.fault(verdict):
                    faults += 1
                    print(f"{case.library}: {case.name}: {fault}", file=sys.stderr, flush=True)
            counts.setdefault(case.library, collections.Counter())[kind] += 1
            study[kind] += case.study
    kinds = ("carried", "refused", "late", "silent", "not installed")
    print(f"{'library':14}", *(f"{kind:>13}" for kind in kinds))
    for library, found in counts.items():
        print(f"{library:14}", *(f"{found[kind]:13}" for kind in kinds))
    print(f"{'all':14}", *(f"{sum(found[kind] for found in counts.values()):13}" for kind in kinds))
    print(f"{'the study':14}", *(f"{study[kind]:13}" for kind in kinds))
    ran = study.total() - study["not installed"]
    print(
        f"{study['carried']} of {ran} classes of the study that ran are carried ({study['carried'] / ran:.0%})"
    )
    return faults


if __name__ == "__main__":
    sys.exit(min(main(), 1))
