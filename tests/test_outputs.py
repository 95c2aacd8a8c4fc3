"""The outputs of a cell as a notebook's front end would keep them, within a limit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex.runtime.outputs import Outputs


def display(text: str) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}}


def short(outputs: tuple[dict[str, Any], ...]) -> list[str]:
    return [f"{o['name'][3:]}:{o['text']}" if "text" in o else o["data"]["text/plain"] for o in outputs]


def test_texts_of_one_stream_are_joined() -> None:
    """Up to what comes between them."""
    outputs = Outputs(10_000)
    for stream, data in [("stdout", b"a"), ("stdout", b"b"), ("stderr", b"c"), ("stdout", b"d")]:
        outputs.text(stream, data)
    outputs.add(display("e"))
    outputs.text("stdout", b"f")
    assert short(outputs.final()) == ["out:ab", "err:c", "out:d", "e", "out:f"]


@given(st.text(), st.integers(1, 5))
def test_a_character_may_be_cut_anywhere(text: str, size: int) -> None:
    """The bytes of a text come in pieces of any size."""
    outputs = Outputs(1_000_000)
    data = text.encode("utf-8", "surrogatepass")
    shown = []
    for start in range(0, len(data), size):
        live = outputs.text("stdout", data[start : start + size])
        shown.append(live["text"] if live else "")
    expected = data.decode("utf-8", "replace")
    final = outputs.final()
    if text and not any("\ud800" <= c <= "\udfff" for c in text):
        assert final[0]["text"] == "".join(shown) == expected


def test_clear_forgets_what_was_there() -> None:
    """At once, or when something new comes; a cut is forgotten as well."""
    outputs = Outputs(10_000)
    outputs.text("stdout", b"a")
    outputs.clear(wait=False)
    assert outputs.final() == ()
    outputs.add(display("b"))
    outputs.clear(wait=True)
    assert short(outputs.final()) == ["b"]
    outputs.text("stdout", b"x" * 20_000)
    assert len(outputs.final()) == 2
    outputs.clear(wait=False)
    outputs.text("stdout", b"c")
    assert short(outputs.final()) == ["out:c"]


def test_an_update_changes_what_is_there() -> None:
    """Nothing else."""
    outputs = Outputs(10_000)
    first, second = display("a"), display("b")
    outputs.add(first)
    outputs.add(second)
    assert outputs.update(first, {"text/plain": "c"}, {"m": 1})
    assert short(outputs.final()) == ["c", "b"]
    assert outputs.final()[0]["metadata"] == {"m": 1}
    assert outputs.holds(first)
    outputs.clear(wait=False)
    assert not outputs.holds(first)


def test_a_flood_is_cut_and_says_so() -> None:
    """What came first is kept, and how much came after it is told."""
    outputs = Outputs(2_000)
    for _ in range(1000):
        outputs.text("stdout", b"x" * 1000)
    outputs.add(display("y" * 1000))
    kept, notice = outputs.final()
    assert kept["text"] == "x" * 1700
    assert notice["name"] == "stderr"
    dropped = 1_000_000 - 1700 + 1300
    assert (
        notice["text"]
        == f"\n[nbvertex: {dropped:,} bytes of output were dropped here; a cell keeps 2,000 bytes]\n"
    )


def test_an_error_is_never_cut() -> None:
    """It is what the reader needs most."""
    outputs = Outputs(1_000)
    outputs.text("stdout", b"x" * 5_000)
    error = {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["t"]}
    assert outputs.add(error)
    assert outputs.final()[-1] == error


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3000)), max_size=60))
def test_what_is_kept_never_exceeds_the_limit(acts: list[tuple[int, int]]) -> None:
    """Whatever is written, displayed, updated and cleared."""
    outputs, limit, shown = Outputs(5_000), 5_000, []
    for act, size in acts:
        if act == 0:
            outputs.text("stdout" if size % 2 else "stderr", b"x" * size)
        elif act == 1:
            one = display("y" * size)
            if outputs.add(one):
                shown.append(one)
        elif act == 2 and shown and outputs.holds(shown[-1]):
            outputs.update(shown[-1], {"text/plain": "z" * size}, {})
        else:
            outputs.clear(wait=bool(size % 2))
    kept = [text for text in short(outputs.final()) if "dropped here" not in text]
    assert sum(map(len, kept)) <= limit + 4 * len(kept)


@pytest.mark.parametrize("value", [{"a": [1, None]}, "text", 3.5])
def test_data_of_every_form_is_measured(value: Any) -> None:
    """JSON data has a size as well."""
    outputs = Outputs(400)
    assert outputs.add({"output_type": "display_data", "data": {"application/json": value}, "metadata": {}})
    assert not outputs.add(
        {"output_type": "display_data", "data": {"application/json": [value] * 200}, "metadata": {}}
    )
