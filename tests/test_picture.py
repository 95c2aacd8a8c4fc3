"""A pipeline as text, mermaid and SVG."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex import grammar, picture
from nbvertex.pipeline import Cell, Flow, Options, Parameter, Pipeline, Resources, Step, Why


def step(name: str, *positions: int, **more: object) -> Step:
    return Step(name=name, cells=tuple(Cell(position=p, source="") for p in positions), **more)  # type: ignore[arg-type]


def flow(source: str, target: str, *names: str, **more: object) -> Flow:
    return Flow(source=source, target=target, names=names, **{"kind": "value", **more})  # type: ignore[arg-type]


PIPELINE = Pipeline(
    name="churn",
    notebook="churn.ipynb",
    steps=(
        step("setup", 1, 2),
        step("load", 4, 5, options=Options(retries=2, timeout=90.0, cache=False, outputs=("a.csv", "b.csv"))),
        step("split", 7, resources=Resources(machine="n1-standard-4", spot=True)),
        step("forest", 9),
        step("linear", 10),
        step("evaluate", 12, 13, 15),
        step("note", 16),
    ),
    flows=(
        flow("setup", "load", "pd", written=(Why(cell=1, line=1, text="import pandas as pd"),)),
        flow("load", "split", "frame", "target", "columns", "index",
             written=(Why(cell=4, line=2, text="frame = pd.read_csv(path)"),
                      Why(cell=5, line=1, text="target, columns, index = cut(frame)")),
             read=(Why(cell=7, line=3, text="train, test = halves(frame, target)"),)),
        flow("setup", "split", "halves"),
        flow("split", "forest", "train"),
        flow("split", "linear", "train", maybe=True),
        flow("forest", "linear", "random", kind="state"),
        flow("split", "evaluate", "test"),
        flow("forest", "evaluate", "forest"),
        flow("linear", "evaluate", "linear"),
        flow("evaluate", "note", kind="order"),
    ),
    parameters=(
        Parameter(name="share", kind="float", default=0.3, source="0.3", minimum=0.1, maximum=0.5,
                  description="how much is set aside"),
        Parameter(name="model", kind="str", default="forest", source='"forest"', choices=("forest", "linear")),
        Parameter(name="rows", kind="int", optional=True, minimum=1),
    ),
    parameters_cell=2,
    parameters_step="setup",
)  # fmt: skip
MARKED = Pipeline(
    name="search",
    notebook="search.ipynb",
    steps=(
        step("load", 1),
        step("train", 2, options=Options(each=grammar.each("lr in [0.1, 0.01, 0.001]"))),
        step(
            "choose",
            3,
            4,
            options=Options(when=grammar.when("mode == 'search' and accuracy is not None or not rows < 3")),
        ),
        step(
            "deploy",
            5,
            options=Options(when=grammar.when("accuracy > 0.9"), each=grammar.each("region in regions")),
        ),
    ),
    flows=(
        flow("load", "train", "data"),
        flow("train", "choose", "lr", "model"),
        flow("choose", "deploy", "accuracy"),
        flow("load", "deploy", "regions"),
    ),
)
EMPTY = Pipeline(name="one", notebook="one.ipynb", steps=(step("one", 1),))


@pytest.mark.parametrize("form", ["text", "why", "mermaid", "svg"])
def test_whole_picture(form: str, golden: Callable[[str, str], None]) -> None:
    """Each form, whole."""
    forms = {
        "text": ("txt", picture.text),
        "why": ("why.txt", lambda p: picture.text(p, why=True)),
        "mermaid": ("mmd", picture.mermaid),
        "svg": ("svg", picture.svg),
    }
    ending, draw = forms[form]
    golden(f"picture/churn.{ending}", draw(PIPELINE))
    golden(f"picture/search.{ending}", draw(MARKED))


@pytest.mark.parametrize(
    "places, told", [((0, 0), "cell 2"), ((3, 4), "cells 3-4"), ((0, 5), "cells 2, 5"), ((7,), "cell 7")]
)
def test_parameters_name_their_cells(places: tuple[int, ...], told: str) -> None:
    """Those of the parameters cell, or of the cells with the form fields."""
    parameters = tuple(Parameter(name=f"p{n}", kind="int", cell=place) for n, place in enumerate(places))
    model = msgspec.structs.replace(EMPTY, parameters=parameters, parameters_cell=2)
    assert f"\nparameters ({told})\n" in picture.text(model)


@pytest.mark.parametrize("draw", [picture.text, picture.mermaid, picture.svg])
def test_same_pipeline_same_bytes(draw: Callable[[Pipeline], str]) -> None:
    """Drawn twice, it is the same."""
    assert draw(PIPELINE) == draw(PIPELINE)


def test_one_step_alone() -> None:
    """A notebook of one step has neither parameters nor arrows."""
    assert picture.text(EMPTY) == "one.ipynb: 1 step\n\nsteps\n  one  cell 1\n"
    assert picture.mermaid(EMPTY) == 'flowchart TD\n    s1["one"]\n'
    assert ET.fromstring(picture.svg(EMPTY)).tag.endswith("svg")


@given(st.text(min_size=1))
def test_no_name_breaks_a_picture(name: str) -> None:
    """Whatever a step is called, the SVG is XML, and no line of any form is broken or steers a terminal."""
    tame = Pipeline(name="p", notebook="p", steps=(step("a", 1), step("b", 2)), flows=(flow("a", "b", "x"),))
    wild = Pipeline(
        name=name,
        notebook=name,
        steps=(step(name, 1), step(name + "b", 2, title=name)),
        flows=(flow(name, name + "b", name),),
    )
    ET.fromstring(picture.svg(wild))
    for draw in (picture.text, picture.mermaid):
        assert draw(wild).count("\n") == draw(tame).count("\n")
        assert all(c.isprintable() or c == "\n" for c in draw(wild))


@pytest.mark.parametrize(
    "name", ['a"] --> b["c', "<script>", "#quot;", "`x`", "{{ x }}", "%%{init}%%", "a|b"]
)
def test_mermaid_takes_names_literally(name: str) -> None:
    """What means something to mermaid is spelled as an entity."""
    drawn = picture.mermaid(Pipeline(name="p", notebook="p", steps=(step(name, 1),)))
    label = drawn.split('["', 1)[1].rsplit('"]', 1)[0]
    assert not set('"<>`{}|%[]') & set(label)


def test_arrows_put_flows_together() -> None:
    """Between two steps there is one arrow, named after what travels; it is sure if one flow is."""
    flows = (
        flow("a", "b", "x", maybe=True),
        flow("a", "b", "random", kind="state"),
        flow("a", "b", "y", "z", "w"),
    )
    pipeline = Pipeline(name="p", notebook="p", steps=(step("a", 1), step("b", 2)), flows=flows)
    assert picture.arrows(pipeline) == [
        picture.Arrow(source="a", target="b", label="x, (random), y +2", kind="value", maybe=False)
    ]


@pytest.mark.parametrize(
    "positions, said",
    [
        ((3,), "cell 3"),
        ((3, 4, 5), "cells 3-5"),
        ((1, 3, 4, 9), "cells 1, 3-4, 9"),
        ((2, 4), "cells 2, 4"),
        (range(2, 14, 2), "6 cells in 2-12"),
    ],
)
def test_cells(positions: tuple[int, ...], said: str) -> None:
    """Runs of cells are shortened."""
    assert picture.cells(step("a", *positions).cells) == said
