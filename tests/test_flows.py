"""What flows between steps."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import snippets
from hypothesis import given, settings
from hypothesis import strategies as st

from nbvertex.dataflow import Analysis, analyse
from nbvertex.flows import Connected, combine, connect
from nbvertex.pipeline import Cell, Facts, Flow, Options, Step

TABLE = Path(__file__).parent / "cases" / "flows.toml"
CASES = [pytest.param(case, id=case["name"]) for case in tomllib.loads(TABLE.read_text())["case"]]


def connected(sources: Sequence[str], names: Sequence[str] = (), **options: Options) -> Connected:
    """Steps made of cells, in the order in which their names come up."""
    analyses: dict[int, Analysis] = {}
    modules: dict[str, str] = {}
    steps: dict[str, list[Cell]] = {}
    for position, source in enumerate(sources, 1):
        analysis = analyse(source, modules)
        modules.update(analysis.modules)
        analyses[position] = analysis
        name = names[position - 1] if names else str(position)
        cell = Cell(position=position, source=source, count=position, facts=analysis.facts)
        steps.setdefault(name, []).append(cell)
    return connect(
        [
            Step(name=name, cells=tuple(cells), options=options.get(name, Options()))
            for name, cells in steps.items()
        ],
        analyses,
    )


def told(flow: Flow) -> str:
    """An arrow as the table writes it."""
    names = " ".join(flow.names)
    return (
        f"{flow.source} -> {flow.target} {f'[{names}]' if flow.kind == 'state' else names}{'?' * flow.maybe}"
    )


@pytest.mark.parametrize("case", CASES)
def test_flows(case: dict[str, Any]) -> None:
    """Between the steps flows what the case says; each keeps what later ones may read."""
    found = connected(case["cells"], case.get("steps", "").split())
    assert [told(flow) for flow in found.flows] == case.get("flows", [])
    assert {step.name: " ".join(step.live) for step in found.steps if step.live} == case.get("live", {})
    assert [str(problem) for problem in found.problems] == case.get("problems", [])


def test_why() -> None:
    """An arrow tells the lines that wrote and read, as the user wrote them."""
    (flow,) = connected(["# set up\nx = 1", "y = 2\nprint(x)  # look"]).flows
    assert [(why.cell, why.line, why.text) for why in flow.written] == [(1, 2, "x = 1")]
    assert [(why.cell, why.line, why.text) for why in flow.read] == [(2, 2, "print(x)  # look")]


def test_needs() -> None:
    """A step needs the steps that it surely takes something from, in notebook order."""
    found = connected(["x = 1", "from lib import f\ny = [x]", "f(y)", "print(y, x)"])
    assert [step.needs for step in found.steps] == [(), ("1",), ("2",), ("1", "2")]


def test_after_marks() -> None:
    """An `after` mark is an arrow; one that names no step above is told elsewhere."""
    found = connected(["x = 1", "y = 2", "z = 3"], **{"3": Options(after=("1", "nowhere", "3"))})
    assert [(flow.source, flow.target, flow.kind) for flow in found.flows] == [("1", "3", "order")]
    assert found.steps[2].needs == ("1",)


def test_a_cell_that_may_fail_binds_nothing_for_certain() -> None:
    """What such a cell binds may stay what it was before, and what it deletes may stay."""
    analyses = {
        n: analyse(source) for n, source in enumerate(["x = 1", "x = 2\n1 / 0\ndel x", "print(x)"], 1)
    }
    steps = [
        Step(name=str(n), cells=(Cell(position=n, source="", facts=analyses[n].facts, may_fail=n == 2),))
        for n in analyses
    ]
    found = connect(steps, analyses)
    assert [told(flow) for flow in found.flows] == ["1 -> 3 x", "2 -> 3 x"]


def test_facts_of_steps() -> None:
    """A step's facts are its cells' together, with what their functions do when they are called."""
    found = connected(["acc = []\ndef log(v): acc.append(v)", "log(1)\nx = 1", "y = x"], ["a", "b", "b"])
    facts = found.steps[1].facts
    assert (facts.reads, facts.binds, facts.surely, facts.mutates) == (
        ("acc", "log"),
        ("x", "y"),
        ("x", "y"),
        ("acc",),
    )


COMBINED: list[tuple[str, list[Facts], Facts]] = [
    ("nothing", [], Facts()),
    (
        "bound before it is read",
        [Facts(binds=("x",), surely=("x",)), Facts(reads=("x",))],
        Facts(binds=("x",), surely=("x",)),
    ),
    ("bound perhaps", [Facts(binds=("x",)), Facts(reads=("x",))], Facts(reads=("x",), binds=("x",))),
    (
        "read, then bound",
        [Facts(reads=("x",)), Facts(binds=("x",), surely=("x",))],
        Facts(reads=("x",), binds=("x",)),
    ),
    (
        "deleted between",
        [Facts(binds=("x",), surely=("x",)), Facts(reads=("x",), deletes=("x",)), Facts(reads=("x",))],
        Facts(reads=("x",), binds=("x",), deletes=("x",)),
    ),
    (
        "everything else is put together",
        [
            Facts(mutates=("a",), requirements=("b", "a")),
            Facts(touches=("a", "c"), requirements=("a",), everything=True),
        ],
        Facts(mutates=("a",), touches=("c",), requirements=("b", "a"), everything=True),
    ),
]


@pytest.mark.parametrize(
    "given_facts, wanted", [case[1:] for case in COMBINED], ids=[case[0] for case in COMBINED]
)
def test_combine(given_facts: list[Facts], wanted: Facts) -> None:
    """Facts of pieces that run one after the other."""
    assert combine(given_facts) == wanted


def test_many_steps() -> None:
    """A thousand steps on one object have about as many arrows, not a million."""
    found = connected(["xs = []", *(f"xs.append({n})" for n in range(1000))])
    assert len(found.flows) < 3000


def test_long_chains_of_functions() -> None:
    """Functions that call each other over very many steps are followed."""
    sources = [
        "def f0(): return k",
        *(f"def f{n}(): return f{n - 1}()" for n in range(1, 1500)),
        "k = 1",
        "f1499()",
    ]
    assert connected(sources).steps[-1].facts.reads[:2] == ("f0", "f1")


SETUP = snippets.FIRST + "\na = [1, [2]]\nb = {'k': [3]}\nc = [[4], [5]]\nd = 6\ne = Box([7])\n"


@given(snippets.drafts())
@settings(max_examples=150)
def test_steps_see_the_same_after_their_arrows_alone(drafts: list[list[str]]) -> None:
    """A step prints and finds the same if only the steps that arrows lead from have run before it."""
    sources = [SETUP, *snippets.working(SETUP, drafts)]
    found = connected(sources)
    above: dict[str, set[str]] = {step.name: set() for step in found.steps}
    for flow in found.flows:
        above[flow.target] |= {flow.source} | above[flow.source]
    straight: dict[str, Any] = {"__name__": "__main__"}
    for number, (source, step) in enumerate(zip(sources, found.steps, strict=True)):
        alone: dict[str, Any] = {"__name__": "__main__"}
        for other in found.steps[:number]:
            if other.name in above[step.name]:
                snippets.run(sources[int(other.name) - 1], alone)
        analysis = analyse(source)
        seen = {*analysis.facts.reads, *analysis.facts.binds} & set(snippets.NAMES) - analysis.late
        assert snippets.run(source, alone) == snippets.run(source, straight)
        for name in sorted(seen):
            assert snippets.shape(alone.get(name)) == snippets.shape(straight.get(name))


@given(snippets.drafts())
@settings(max_examples=150)
def test_names_that_are_not_live_are_not_missed(drafts: list[list[str]]) -> None:
    """Steps print the same if after each only its live names are kept."""
    sources = [SETUP, *snippets.working(SETUP, drafts)]
    found = connected(sources)
    straight: dict[str, Any] = {"__name__": "__main__"}
    kept: dict[str, Any] = {"__name__": "__main__"}
    for source, step in zip(sources, found.steps, strict=True):
        assert snippets.run(source, kept) == snippets.run(source, straight)
        for name in [name for name in kept if name not in step.live and not name.startswith("__")]:
            del kept[name]


@given(snippets.drafts(), st.lists(st.sampled_from("abc"), min_size=6, max_size=6))
@settings(max_examples=150)
def test_steps_that_return_are_refused_or_right(drafts: list[list[str]], names: list[str]) -> None:
    """Where a step may return, its cells print the same if they run at its first place."""
    cells = snippets.working(SETUP, drafts)
    sources = [SETUP, *cells]
    found = connected(sources, ["setup", *names[: len(cells)]])
    if found.problems:
        return
    printed: list[str | None] = []
    straight: dict[str, Any] = {"__name__": "__main__"}
    printed.extend(snippets.run(source, straight) for source in sources)
    moved: dict[str, Any] = {"__name__": "__main__"}
    for step in found.steps:
        for cell in step.cells:
            assert snippets.run(cell.source, moved) == printed[cell.position - 1]
