"""What a run knows after each step, and what a step loads of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex.errors import StoreError
from nbvertex.state import Change, Held, State, as_held, difference


def held(digest: str, *entries: str, refs: tuple[str, ...] = (), free: tuple[str, ...] = ()) -> Held:
    return Held(digest=digest, size=1, format="json", entries=entries, refs=refs, free=free)


def state(*changes: Change) -> State:
    made = State()
    for change in changes:
        made.apply(change)
    return made


def test_names_that_share_an_object_come_together() -> None:
    """Who reads one name of a group loads the whole group."""
    made = state(Change(names={"a": "1", "b": "2"}, held=(held("d", "1", "2"),)))
    assert made.inputs(["a"]).homes() == {"1": "d", "2": "d"}


def test_definitions_that_an_object_refers_to_come_along() -> None:
    """An instance brings its class, as it is now."""
    made = state(
        Change(names={"C": "c", "x": "x"}, held=(held("c1", "c"), held("x1", "x", refs=("c",)))),
        Change(held=(held("c2", "c"),)),
    )
    assert made.inputs(["x"]).homes() == {"x": "x1", "c": "c2"}


def test_what_functions_read_comes_along() -> None:
    """A function brings the names it reads when it is called, and those that these read in turn."""
    made = state(
        Change(
            names={"f": "f", "g": "g", "k": "k"},
            held=(held("f1", "f", free=("g", "len")), held("g1", "g", free=("k", "f")), held("k1", "k")),
        )
    )
    found = made.inputs(["f"])
    assert found.names == {"f": "f", "g": "g", "k": "k", "len": None}
    assert set(found.homes()) == {"f", "g", "k"}


def test_state_outside_the_names_always_comes() -> None:
    """The working folder and its like are inputs of every step."""
    made = state(Change(names={"@cwd": "w", "x": "x"}, held=(held("w1", "w"), held("x1", "x"))))
    assert set(made.inputs([]).names) == {"@cwd"}


def test_everything() -> None:
    """A step that may read every name loads every name."""
    made = state(Change(names={"a": "1", "b": "2"}, held=(held("d", "1"), held("e", "2"))))
    assert set(made.inputs(None).names) == {"a", "b"}


def test_missing_names_are_told_from_unread_ones() -> None:
    """That a name was not bound is part of what a step saw."""
    before = State().inputs(["x"])
    after = state(Change(names={"x": "1"}, held=(held("d", "1"),))).inputs(["x"])
    assert before.names == {"x": None}
    assert before != after


def test_deleted_name_is_gone() -> None:
    """A name that a step deleted is not bound any more; its object may live on."""
    made = state(Change(names={"x": "1", "y": "1"}, held=(held("d", "1"),)), Change(names={"x": None}))
    assert made.inputs(["x", "y"]).names == {"x": None, "y": "1"}


def test_record_with_a_hole_is_an_error() -> None:
    """A name whose object nobody holds is told, not skipped."""
    with pytest.raises(StoreError, match="no home for entry 1"):
        state(Change(names={"x": "1"})).inputs(["x"])


def test_difference_leaves_out_what_stayed() -> None:
    """Only new names, other bindings and other bytes count."""
    made = state(Change(names={"a": "1", "b": "2"}, held=(held("d", "1"), held("e", "2"))))
    found = difference(
        made.inputs(["a", "b"]),
        {"a": "1", "b": "3", "c": None, "n": "4"},
        [held("d", "1"), held("f", "3", "4")],
    )
    assert found.names == {"b": "3", "c": None, "n": "4"}
    assert [one.digest for one in found.held] == ["f"]


def test_name_that_is_deleted_though_it_was_never_seen() -> None:
    """A step may delete a name that it did not load."""
    found = difference(State().inputs([]), {"x": None}, [])
    assert found.names == {"x": None}


def test_meta_as_it_comes_from_a_process() -> None:
    """Lists become tuples, and what is not said is empty."""
    made = as_held({"digest": "d", "size": 3, "format": "json", "entries": ["e"], "types": {"e": "int"}})
    assert made == Held(digest="d", size=3, format="json", entries=("e",), types={"e": "int"})


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=12))
def test_inputs_do_not_depend_on_the_way(bindings: list[tuple[str, int]]) -> None:
    """Two states with the same names and homes give equal inputs, however they came about."""
    made = State()
    for name, value in bindings:
        made.apply(Change(names={name: name}, held=(held(f"d{value}", name),)))
    last = dict(bindings)
    straight = state(
        Change(names={n: n for n in last}, held=tuple(held(f"d{v}", n) for n, v in last.items()))
    )
    assert made.inputs("abc") == straight.inputs("abc")
    assert made.copy().inputs("abc") == made.inputs("abc")
