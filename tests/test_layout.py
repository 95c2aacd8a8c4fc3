"""Where the boxes of a drawing stand."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from nbvertex.layout import Layout, arrange, implied_arrows

GAP = 10.0


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """Boxes with widths, and arrows that all run forward."""
    count = draw(st.integers(1, 12))
    widths = draw(st.lists(st.floats(20, 200), min_size=count, max_size=count))
    boxes = {f"s{i}": width for i, width in enumerate(widths)}
    pairs = [(a, b) for i, a in enumerate(boxes) for b in list(boxes)[i + 1 :]]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return boxes, {pair: draw(st.floats(0, 150)) for pair in chosen}


def arranged(boxes: dict[str, float], arrows: dict[tuple[str, str], float]) -> Layout:
    return arrange(boxes, arrows, GAP)


@given(graphs())
def test_boxes_of_a_layer_stand_apart(graph: tuple[dict[str, float], dict[tuple[str, str], float]]) -> None:
    """No two boxes of one layer are nearer than the gap, and none sticks out."""
    boxes, arrows = graph
    layout = arranged(boxes, arrows)
    rows: dict[int, list[tuple[float, float]]] = {}
    for name, (x, layer) in layout.centers.items():
        rows.setdefault(layer, []).append((x - boxes[name] / 2, x + boxes[name] / 2))
    for row in rows.values():
        row.sort()
        assert all(right + GAP <= left + 0.3 for (_, right), (left, _) in itertools.pairwise(row))
        assert row[0][0] >= -0.1
        assert row[-1][1] <= layout.width + 0.1


@given(graphs())
def test_arrows_run_down(graph: tuple[dict[str, float], dict[tuple[str, str], float]]) -> None:
    """A target stands in a lower layer than its source, and a path has one point a layer."""
    boxes, arrows = graph
    layout = arranged(boxes, arrows)
    for (source, target), path in layout.paths.items():
        assert len(path) == layout.centers[target][1] - layout.centers[source][1] + 1 >= 2
        assert (path[0], path[-1]) == (layout.centers[source][0], layout.centers[target][0])


def test_a_chain_is_straight() -> None:
    """Boxes of different widths in a chain have one centre."""
    layout = arranged({"a": 40.0, "b": 100.0, "c": 60.0}, {("a", "b"): 10.0, ("b", "c"): 10.0})
    assert {x for x, _ in layout.centers.values()} == {50.0}
    assert layout.width == 100.0


def test_no_boxes() -> None:
    """An empty drawing has no size."""
    assert arranged({}, {}) == Layout({}, {}, 0, 0, 0.0)


def test_implied_arrows() -> None:
    """An arrow is implied where a longer path leads to the same box."""
    arrows = [("a", "b"), ("b", "c"), ("a", "c"), ("a", "d"), ("c", "d")]
    assert implied_arrows("abcd", arrows) == {("a", "c"), ("a", "d")}


def test_a_thicket_leaves_implied_arrows_out() -> None:
    """Where a first box feeds a long chain, only what a reader can follow is drawn, and it is counted."""
    names = [f"s{i}" for i in range(100)]
    chain = list(itertools.pairwise(names))
    arrows = dict.fromkeys([*chain, *((names[0], name) for name in names[2:])], 10.0)
    layout = arranged(dict.fromkeys(names, 50.0), arrows)
    assert set(layout.paths) == set(chain)
    assert layout.left_out == 98
