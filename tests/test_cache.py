"""A key changes with everything that a step's result depends on, and with nothing else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pretend
import pytest

from nbvertex import cache
from nbvertex.cache import Keys, never
from nbvertex.environment import Package
from nbvertex.files import Files
from nbvertex.home import Home
from nbvertex.pipeline import Cell, Facts, Options, Step
from nbvertex.plan import Planned, code_of, wanted
from nbvertex.runner import run
from nbvertex.state import Change, Held, Inputs


class Installed:
    """Packages by module, as the tests say."""

    def __init__(self, **found: tuple[Package, ...]) -> None:
        self.found = found

    def behind(self, module: str) -> tuple[Package, ...]:
        return self.found.get(module, ())


NUMPY = Package(name="numpy", version="2.0", record="a")


@dataclass(frozen=True)
class Case:
    """Everything that a key may be made of."""

    facts: Facts = Facts(reads=("f", "x"), imports=("numpy",), files_read=("data.csv",))
    cells: tuple[Cell, ...] = (Cell(position=1, count=1, source="f(x)", digest="c1"),)
    options: Options = Options()
    before: tuple[str, ...] = ("os",)  # imported by an earlier step
    given: tuple[tuple[int, str, object], ...] = ((1, "n", 1),)
    names: dict[str, str | None] = field(default_factory=lambda: {"x": "a:x", "f": "a:f", "@cwd": "a:@cwd"})
    homes: dict[str, str] = field(default_factory=lambda: {"a:x": "d1", "a:f": "d2", "a:@cwd": "d3"})
    types: dict[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    installed: dict[str, tuple[Package, ...]] = field(default_factory=lambda: {"numpy": (NUMPY,)})
    version: str = "3.11.7"
    environ: dict[str, str] = field(default_factory=lambda: {"HOME": "/home/me", "TERM": "xterm"})
    data: str | None = "1,2"
    live: tuple[str, ...] | None = ("y",)

    def key(self, folder: Path) -> str | None:
        if self.data is not None:
            (folder / "data.csv").write_text(self.data)
        else:
            (folder / "data.csv").unlink(missing_ok=True)
        earlier = Step(name="a", cells=(), facts=Facts(imports=self.before))
        step = Step(name="s", cells=self.cells, facts=self.facts, options=self.options)
        plan = [
            Planned(i, s, code_of(s), wanted(s), self.live, (), self.given)
            for i, s in enumerate((earlier, step))
        ]
        held = tuple(
            Held(
                digest=digest, size=1, format="json", entries=(entry,), modules=self.modules, types=self.types
            )
            for entry, digest in self.homes.items()
        )
        keys = Keys(plan, Installed(**self.installed), self.version, Files(folder), self.environ)  # type: ignore[arg-type]
        return keys.key(plan[1], Inputs(self.names, held))


BASE = Case()


def facts(**changed: Any) -> Facts:
    return msgspec.structs.replace(BASE.facts, **changed)


def numpy(**changed: str) -> dict[str, tuple[Package, ...]]:
    return {"numpy": (msgspec.structs.replace(NUMPY, **changed),)}


def cells(**changed: Any) -> tuple[Cell, ...]:
    return (msgspec.structs.replace(BASE.cells[0], **changed),)


MISSES = {
    "code of a cell": replace(BASE, cells=cells(digest="c2")),
    "another cell": replace(BASE, cells=BASE.cells * 2),
    "a cell that may fail": replace(BASE, cells=cells(may_fail=True)),
    "value of a parameter": replace(BASE, given=((1, "n", 2),)),
    "type of a parameter": replace(BASE, given=((1, "n", 1.0),)),
    "true is not one": replace(BASE, given=((1, "n", True),)),
    "name of a parameter": replace(BASE, given=((1, "m", 1),)),
    "place of a parameter": replace(BASE, given=((0, "n", 1),)),
    "no parameter": replace(BASE, given=()),
    "value of a name": replace(BASE, homes={**BASE.homes, "a:x": "d9"}),
    "code of a function it calls": replace(BASE, homes={**BASE.homes, "a:f": "d9"}),
    "working folder": replace(BASE, homes={**BASE.homes, "a:@cwd": "d9"}),
    "more state outside": replace(BASE, names={**BASE.names, "@random": "b"}, homes={**BASE.homes, "b": "d"}),
    "what a name is bound to": replace(BASE, names={**BASE.names, "x": "a:f"}),
    "name that is gone": replace(BASE, names={**BASE.names, "x": None}),
    "version of a package": replace(BASE, installed=numpy(version="2.1")),
    "files of a package": replace(BASE, installed=numpy(record="b")),
    "package that it needs": replace(BASE, installed={"numpy": (NUMPY, Package(name="blas", version="1"))}),
    "package gone": replace(BASE, installed={}),
    "another import": replace(BASE, facts=facts(imports=("numpy", "scipy"))),
    "module of a value": replace(BASE, modules=("scipy",)),
    "type of a value": replace(BASE, types={"a:x": "scipy.sparse.csr"}),
    "import of an earlier step, through a name": replace(BASE, types={"a:x": "module"}, before=("os", "sys")),
    "Python": replace(BASE, version="3.11.8"),
    "contents of a file": replace(BASE, data="1,3"),
    "file gone": replace(BASE, data=None),
    "declared outputs": replace(BASE, options=Options(outputs=("o.csv",))),
    "time zone": replace(BASE, environ={**BASE.environ, "TZ": "UTC"}),
    "locale": replace(BASE, environ={**BASE.environ, "LC_ALL": "C"}),
    "hash seed": replace(BASE, environ={**BASE.environ, "PYTHONHASHSEED": "1"}),
    "numbers of cells, where they can be seen": replace(BASE, live=("_1",)),
}
HITS = {
    "nothing": BASE,
    "moved cell": replace(BASE, cells=cells(position=7)),
    "another number": replace(BASE, cells=cells(count=7)),
    "cell id": replace(BASE, cells=cells(id="abc")),
    "source with the same meaning": replace(BASE, cells=cells(source="f( x )  # twice")),
    "what is kept": replace(BASE, live=("y", "z")),
    "retries": replace(BASE, options=Options(retries=3)),
    "timeout": replace(BASE, options=Options(timeout=9.0)),
    "labels": replace(BASE, options=Options(labels={"a": "b"})),
    "cache:enabled": replace(BASE, options=Options(cache=True)),
    "variable that nobody reads": replace(BASE, environ={**BASE.environ, "EDITOR": "vi"}),
    "terminal": replace(BASE, environ={**BASE.environ, "TERM": "dumb"}),
    "import of an earlier step": replace(BASE, before=("os", "sys")),
    "package that nobody imports": replace(BASE, installed={**BASE.installed, "flask": (NUMPY,)}),
    "order of names": replace(BASE, names=dict(reversed(BASE.names.items()))),
    "order of values": replace(BASE, homes=dict(reversed(BASE.homes.items()))),
    "builtin type of a value": replace(BASE, types={"a:x": "int"}),
}


@pytest.mark.parametrize("case", MISSES.values(), ids=list(MISSES))
def test_what_changes_a_key(tmp_path: Path, case: Case) -> None:
    """Whatever may change a result changes the key."""
    assert BASE.key(tmp_path) is not None
    assert case.key(tmp_path) not in (None, BASE.key(tmp_path))


@pytest.mark.parametrize("case", HITS.values(), ids=list(HITS))
def test_what_changes_no_key(tmp_path: Path, case: Case) -> None:
    """What cannot change a result leaves the key as it was."""
    assert case.key(tmp_path) == BASE.key(tmp_path)


def test_variables_count_for_whoever_reads_them(tmp_path: Path) -> None:
    """A step that reads the environment depends on it, but not on what belongs to the session."""
    case = replace(BASE, facts=facts(outside=("environ",)))
    keys = [
        replace(case, environ={**BASE.environ, name: "v"}).key(tmp_path)
        for name in ("API_URL", "TERM", "SSH_CONNECTION", "COLUMNS")
    ]
    assert keys[0] != case.key(tmp_path)
    assert set(keys[1:]) == {case.key(tmp_path)}


@pytest.mark.parametrize(
    "changed, options, why",
    [
        ({}, Options(), None),
        ({"outside": ("clock",)}, Options(), "reads the clock"),
        ({"outside": ("network",)}, Options(), "reads the network"),
        ({"outside": ("process",)}, Options(), "starts other programs"),
        ({"outside": ("input",)}, Options(), "asks for input"),
        ({"outside": ("cwd", "display", "environ", "files", "modules", "random")}, Options(), None),
        ({"everything": True}, Options(), "runs code that cannot be seen beforehand"),
        ({"files_read": ("https://x.org/y.csv",)}, Options(), "reads the network"),
        ({"files_written": ("o.csv",)}, Options(), "writes files that are not declared with `out`: o.csv"),
        ({"files_written": ("o.csv",)}, Options(outputs=("o.csv",)), None),
        ({}, Options(cache=False), "is marked cache:disabled"),
        ({"outside": ("clock", "network")}, Options(cache=True), None),
    ],
)
def test_what_is_never_cached(changed: dict[str, Any], options: Options, why: str | None) -> None:
    """What differs from run to run by its nature is not taken from an earlier one, unless it is marked so."""
    assert never(Step(name="s", cells=(), facts=Facts(**changed), options=options)) == why


def test_cell_that_varies_is_never_cached() -> None:
    """Who marks a cell varies wants it anew each time, unless the step says otherwise."""
    cell = Cell(position=1, source="x", varies=True)
    assert never(Step(name="s", cells=(cell,))) == "is marked varies"
    assert never(Step(name="s", cells=(cell,), options=Options(cache=True))) is None


def test_counter_in_a_file(tmp_path: Path) -> None:
    """A declared file that a step changes in place is never put back to what it was before."""
    options = Options(outputs=("n",))
    made = pretend.pipeline(
        pretend.step("a", COUNT, options=options, files_read=("n",), files_written=("n",))
    )
    (tmp_path / "n").write_text("0")
    shown = []
    for _ in range(3):
        with contextlib.chdir(tmp_path):
            result = run(
                made, home=Home(tmp_path / "home"), cwd=tmp_path, pool_factory=pretend.Pool(), jobs=1
            )
        shown.append(result.steps["a"].cells[1].outputs[0]["text"])
    assert shown == ["1\n", "2\n", "3\n"]


COUNT = "with open('n') as f: n = int(f.read()) + 1\nwith open('n', 'w') as f: f.write(str(n))\nprint(n)"
RANDOM = Facts(outside=("random",))


@pytest.mark.parametrize(
    "step_facts, source, before, after, kept",
    [
        (Facts(), "f(x)", {}, {}, True),
        (RANDOM, "random.random()", {}, {"@random": "e"}, False),
        (RANDOM, "np.random.default_rng().normal()", {}, {}, False),
        (RANDOM, "np.random.default_rng(0).normal()", {}, {}, True),
        (RANDOM, "random.seed(1); random.random()", {}, {"@random": "e"}, True),
        (RANDOM, "random.random()", {"@random": "e"}, {"@random": "f"}, True),
        (Facts(), "model.fit(X)", {}, {"@numpy.random": "e"}, False),
        (Facts(), "train_test_split(X, random_state=0)", {}, {"@numpy.random": "e"}, True),
    ],
)
def test_random_numbers(
    tmp_path: Path,
    step_facts: Facts,
    source: str,
    before: dict[str, str | None],
    after: dict[str, str],
    kept: bool,
) -> None:
    """Unseeded random numbers are drawn anew in every run, seen in the code or only in the state."""
    cell = Cell(position=1, source=source)
    step = Step(name="s", cells=(cell,), facts=step_facts)
    planned = Planned(0, step, "", (), (), (), ())
    keys = Keys([planned], Installed(), "3", Files(tmp_path), {})  # type: ignore[arg-type]
    found = keys.judge(planned, Inputs(before), Change(names=dict(after)), (), ())
    assert (found.why_not is None) is kept


@pytest.mark.parametrize(
    "step_facts, options, read, written, why",
    [
        (Facts(), Options(), ["in.csv"], [], None),
        (Facts(outside=("files",)), Options(), ["in.csv"], [], None),
        (Facts(outside=("files",)), Options(), [], [], "touches files that could not be observed"),
        (Facts(outside=("files",), files_read=("in.csv",)), Options(), [], [], None),
        (Facts(), Options(), [], ["out.csv"], "writes files that are not declared"),
        (Facts(), Options(outputs=("out.csv",)), [], ["out.csv"], None),
        (Facts(), Options(outputs=("out.csv",)), ["out.csv"], ["out.csv"], "reads a file that it writes"),
        (Facts(files_read=("out.csv",)), Options(outputs=("out.csv",)), ["out.csv"], ["out.csv"], None),
        (Facts(), Options(), [], ["gone.csv"], "writes files"),
        (Facts(), Options(), [], ["/nowhere/gone.csv"], None),
        (Facts(outside=("files",)), Options(cache=True), [], ["out.csv"], None),
    ],
)
def test_files_seen_while_it_ran(
    tmp_path: Path, step_facts: Facts, options: Options, read: list[str], written: list[str], why: str | None
) -> None:
    """Files that a step was seen to read are remembered with what was in them; undeclared results prevent it."""
    (tmp_path / "in.csv").write_text("1")
    (tmp_path / "out.csv").write_text("2")
    planned = Planned(0, Step(name="s", cells=(), facts=step_facts, options=options), "", (), (), (), ())
    keys = Keys([planned], Installed(), "3", Files(tmp_path), {})  # type: ignore[arg-type]
    found = keys.judge(planned, Inputs(), Change(), read, written)
    assert (found.why_not or "").startswith(why or "")
    assert (found.why_not is None) == (why is None)
    if why is None:
        assert [os.path.basename(file.path) for file in found.read] == [n for n in read if n not in written]
        assert [os.path.basename(file.path) for file in found.written] == list(options.outputs)


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where comparing takes longer than running, the step runs."""
    monkeypatch.setattr(cache, "MOST_FILES", 1)
    planned = Planned(0, Step(name="s", cells=()), "", (), (), (), ())
    keys = Keys([planned], Installed(), "3", Files(tmp_path), {})  # type: ignore[arg-type]
    assert keys.judge(planned, Inputs(), Change(), ["a", "b"], ()).why_not == "reads 2 files"


# --- the same through whole runs ------------------------------------------------------------------------


def states_of_two_runs(
    tmp_path: Path, options: Options, opened: tuple[list[str], list[str]], between: Callable[[], object]
) -> tuple[str, str]:
    """The state of a step that is run twice, with something done between the runs."""
    made = pretend.pipeline(pretend.step("a", "x = 1", binds=("x",), live=("x",), options=options))
    found = []
    for turn in range(2):
        pool = pretend.Pool(files={"a": opened})
        result = run(made, home=Home(tmp_path / "home"), cwd=tmp_path, pool_factory=pool, jobs=1)
        assert result.error is None
        found.append(result.steps["a"].state)
        if turn == 0:
            between()
    return found[0], found[1]


def test_file_that_was_seen_to_be_read(tmp_path: Path) -> None:
    """A result stands only as long as the files it was made of are what they were."""
    data = tmp_path / "data.csv"
    data.write_text("1")
    opened: tuple[list[str], list[str]] = (["data.csv"], [])
    assert states_of_two_runs(tmp_path, Options(), opened, lambda: None) == ("done", "cached")
    assert states_of_two_runs(tmp_path, Options(), opened, lambda: None) == ("cached", "cached")
    assert states_of_two_runs(tmp_path, Options(), opened, lambda: data.write_text("2")) == (
        "cached",
        "done",
    )


@pytest.mark.parametrize("size", [1, 100_000])
def test_declared_result_comes_back(tmp_path: Path, size: int) -> None:
    """A cached step that writes a declared file leaves that file as it was written, whatever happened to it."""
    out = tmp_path / "sub" / "out.bin"
    out.parent.mkdir()
    out.write_text("x" * size)

    def lose() -> None:
        out.unlink()
        out.parent.rmdir()

    options = Options(outputs=("sub/out.bin",))
    assert states_of_two_runs(tmp_path, options, ([], ["sub/out.bin"]), lose) == ("done", "cached")
    assert out.read_text() == "x" * size
    assert states_of_two_runs(tmp_path, options, ([], []), lambda: out.write_text("y")) == (
        "cached",
        "cached",
    )
    assert out.read_text() == "x" * size
    assert list(out.parent.iterdir()) == [out]


def test_damaged_copy_of_a_result(tmp_path: Path) -> None:
    """A copy that is not what it was is never put in place: the step runs again."""
    out = tmp_path / "out.bin"
    out.write_text("x")
    home = Home(tmp_path / "home")

    def spoil() -> None:
        out.unlink()
        for path in home.artifacts.rglob("*"):
            if path.is_file():
                path.chmod(0o644)
                path.write_text("y")

    assert states_of_two_runs(tmp_path, Options(outputs=("out.bin",)), ([], []), spoil) == ("done", "done")
    assert not out.exists()
