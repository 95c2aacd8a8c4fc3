"""Two runs of a notebook compared, without running any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex.aside import Aside
from nbvertex.errors import Refused
from nbvertex.pipeline import Cell, Facts, Pipeline, Step
from nbvertex.sides import Failure, Folder, Side, Told
from nbvertex.verify import Compared, compare

PIPELINE = Pipeline(
    name="nb",
    notebook="nb.ipynb",
    steps=(
        Step(name="a", cells=(Cell(position=1, source=""), Cell(position=2, source=""))),
        Step(name="b", cells=(Cell(position=4, source="", facts=Facts(outside=("process",))),)),
    ),
)
TYPES: dict[str, Told] = {"x": ("int", "d1", "1"), "lock": ("lock", "", "")}


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def error(ename: str = "E", evalue: str = "v") -> dict[str, Any]:
    return {"output_type": "error", "ename": ename, "evalue": evalue, "traceback": []}


def side(shown: Mapping[int, str] | None = None, **more: Any) -> Side:
    """A run in which cells printed these texts."""
    texts = {1: "one", 2: "", 4: "four"} if shown is None else shown
    outputs = {position: (stream(text),) if text else () for position, text in texts.items()}
    counts = {position: number for number, position in enumerate(texts, 1)}
    return Side(**{"outputs": outputs, "counts": counts, "values": TYPES, **more})


def compared(straight: Side, steps: Side, aside: Aside | None = None) -> Compared:
    return compare(PIPELINE, straight, steps, aside or Aside())


def whats(found: Compared) -> list[str]:
    return [difference.what for difference in found.differences]


def test_two_equal_runs_are_alike() -> None:
    """And what was compared is counted."""
    found = compared(side(), side())
    assert found == Compared((), cells=3, outputs=2, values=2, files=0, closed=("lock",))


DIFFERENCES: dict[str, tuple[Side, Side, list[str]]] = {
    "what a cell prints": (side(), side({1: "one", 2: "", 4: "five"}), ["what cell 4 shows"]),
    "the first comes first": (side(), side({1: "won", 2: "too", 4: "four"}), ["what cell 1 shows", "what cell 2 shows"]),
    "a number": (side(), side(counts={1: 1, 2: 2, 4: 9}), ["the number of cell 4"]),
    "a value": (side(), side(values={**TYPES, "x": ("int", "d2", "2")}), ["the value of `x` at the end"]),
    "a value within": (side(values={"x": ("list", "d1", "[...]")}), side(values={"x": ("list", "d2", "[...]")}),
                       ["the value of `x` at the end"]),
    "a type": (side(), side(values={**TYPES, "lock": ("file", "", "")}), ["the value of `lock` at the end"]),
    "a name too few": (side(), side(values={"x": TYPES["x"]}), ["the value of `lock` at the end"]),
    "a name too many": (side(values={"x": TYPES["x"]}), side(), ["the value of `lock` at the end"]),
    "only one fails": (side(), side({1: "one"}, failure=Failure(1, "E", "v")), ["how it ends"]),
    "only the straight one fails": (side({1: "one"}, failure=Failure(1, "E", "v")), side(), ["how it ends"]),
    "another error": (side({1: "one"}, failure=Failure(1, "E", "v")), side({1: "one"}, failure=Failure(1, "F", "v")),
                      ["how it ends"]),
    "another message": (side({1: "one"}, failure=Failure(1, "E", "v")), side({1: "one"}, failure=Failure(1, "E", "w")),
                        ["how it ends"]),
    "another cell": (side({1: "one", 2: ""}, failure=Failure(2, "E", "v")), side({1: "one"}, failure=Failure(1, "E", "v")),
                     ["how it ends"]),
    "refused where it fails": (side({1: "one"}, failure=Failure(1, "E", "v")), side({1: "one"}, refused=Refused("no")),
                               ["how it ends"]),
    "an error that may be": (side(outputs={1: (error(evalue="v"),)}), side(outputs={1: (error(evalue="w"),)}),
                             ["what cell 1 shows"]),
}  # fmt: skip


@pytest.mark.parametrize("case", DIFFERENCES)
def test_a_difference_is_named(case: str) -> None:
    """Each kind, with both sides."""
    straight, steps, expected = DIFFERENCES[case]
    found = compared(straight, steps)
    assert whats(found) == expected
    assert all(difference.straight != difference.steps for difference in found.differences)


def test_both_may_fail_alike() -> None:
    """Then what came before is compared, and the failure told."""
    failure = Failure(2, "ValueError", "<C at 0x7f2e3c4d5e60>")
    again = replace(failure, evalue="<C at 0x7f2e3c4d5e68>")
    ends = {"outputs": {1: (stream("one"),), 2: (stream("two"), error())}, "values": None}
    found = compared(side(failure=failure, **ends), side(failure=again, **ends))
    assert (found.differences, found.failure, found.values) == ((), failure, 0)


def test_two_processes_may_end_alike() -> None:
    """What is said of it differs: one was a kernel, the other was none."""
    ends = {"outputs": {1: ()}, "values": None}
    found = compared(
        side(failure=Failure(1, "", "Kernel died"), **ends), side(failure=Failure(1, "", "killed"), **ends)
    )
    assert not found.differences


def test_steps_that_refuse_are_compared_up_to_there() -> None:
    """A refusal is no difference; what was printed before may be one."""
    refused = side({1: "one"}, refused=Refused("cannot travel"), values=None)
    assert not compared(side(), refused).differences
    assert whats(compared(side(), replace(refused, outputs={1: (stream("won"),)}))) == ["what cell 1 shows"]


def test_texts_of_programs_come_as_they_come() -> None:
    """A kernel mixes them with the cell's own; a line too many is still one."""
    assert not compared(side({4: "a\nb\nc\n"}), side({4: "b\na\nc\n"})).differences
    assert compared(side({4: "a\nb\n"}), side({4: "b\na\nc\n"})).differences
    assert compared(side({1: "a\nb\n"}), side({1: "b\na\n"})).differences


def test_how_much_garbage_there_was_does_not_count() -> None:
    """What else such a cell shows does."""
    step = Step(name="a", cells=(Cell(position=1, source="print(1)\ngc.collect()"),))
    pipeline = Pipeline(name="nb", notebook="nb.ipynb", steps=(step,))

    def ran(text: str, count: int) -> Side:
        result = {"output_type": "execute_result", "data": {"text/plain": str(count)}, "metadata": {}}
        return Side(outputs={1: (stream(text), result)}, counts={1: 1}, values={})

    assert not compare(pipeline, ran("1", 12), ran("1", 470), Aside()).differences
    assert compare(pipeline, ran("1", 12), ran("2", 12), Aside()).differences


def test_what_is_set_aside_is_not_compared() -> None:
    """Cells, names and files; a failure in such a cell too."""
    other = side({1: "won", 2: "", 4: "four"}, values={**TYPES, "x": ("int", "d2", "2")})
    found = compared(side(), other, Aside(cells={1: "varies"}, names={"x": 1}))
    assert (found.differences, found.cells, found.values) == ((), 2, 1)
    failed = side({1: "one"}, failure=Failure(1, "E", "v"), values=None)
    assert not compared(side(), failed, Aside(cells={1: "varies"})).differences


def test_what_cannot_be_told_is_not_compared() -> None:
    """A name that a later step only deletes is not kept until then."""
    assert not compared(side(values={}), side(unknown=frozenset(TYPES))).differences


FILES: dict[str, tuple[dict[str, str | None], dict[str, str | None], list[str]]] = {
    "the same": ({"a.txt": "a"}, {"a.txt": "a"}, []),
    "other contents": ({"a.txt": "a"}, {"a.txt": "b"}, ["a.txt"]),
    "one too few": ({"a.txt": "a"}, {}, ["a.txt"]),
    "one too many": ({}, {"a.txt": "a"}, ["a.txt"]),
    "a folder": ({"d/": None}, {}, ["d"]),
    "a file or a folder": ({"d": "x"}, {"d/": None}, ["d"]),
    "an address": ({"a.txt": "<C at 0x7f2e3c4d5e60>"}, {"a.txt": "<C at 0x7f2e3c4d5e68>"}, []),
    "set aside": ({"v.txt": "1"}, {"v.txt": "2"}, []),
    "named by the time": ({"v.txt": "1"}, {"v-2024.txt": "1"}, []),
}


@pytest.mark.parametrize("case", FILES)
def test_what_is_left_is_compared(case: str, tmp_path: Path) -> None:
    """Names and contents of files and folders."""
    *folders, expected = FILES[case]
    sides = []
    for number, files in enumerate(folders):
        root = tmp_path / str(number)
        root.mkdir()
        for name, content in files.items():
            if content is None:
                (root / name).mkdir()
            else:
                (root / name).write_text(content)
        sides.append(side(folder=Folder(root, frozenset(files))))
    assert whats(compared(*sides, Aside(files=dict.fromkeys({"v.txt"} & folders[0].keys(), 1)))) == expected


@given(st.dictionaries(st.sampled_from([1, 2, 4]), st.text(max_size=20)), st.randoms())
def test_a_run_is_like_itself(shown: dict[int, str], chance: Any) -> None:
    """Whatever it prints, and in how many pieces it comes."""
    pieces = {}
    for position, text in shown.items():
        cut = chance.randint(0, len(text))
        pieces[position] = tuple(stream(piece) for piece in (text[:cut], text[cut:]))
    whole = side(shown)
    assert not compared(whole, replace(whole, outputs=pieces)).differences
