"""What steps leave where no book is kept: written, read again, put together, checked."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex.runtime import deltas, orders, workplace
from nbvertex.runtime.deltas import Delta, FileLeft, Held, NotTheSame, Seen, Unreadable
from nbvertex.runtime.jobs import Done

DONE = Done({}, {}, (), (), 0.0)


def held(digest: str, *entries: str) -> Held:
    """An artifact."""
    return Held(digest=digest, size=1, format="json", entries=entries)


FIRST = Delta("a", 0, {"x": "a:x"}, (held("1", "a:x"),))


@given(st.text(), st.text(alphabet="{}$()\"'\\\0\r\n\ud800é python3"))
def test_words_carry_texts_as_they_are(one: str, other: str) -> None:
    """Through the words of a command line, whatever stands in them."""
    words = [word for text in (one, other) for word in orders.worded(text)]
    assert orders.joined(words) == [one, other]
    assert not any(sign in word for word in words for sign in ("{{", "$(", "$$", "python3", "\0"))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_json_in_which_nothing_is_replaced(value: object) -> None:
    """It says what it said, and no two braces stand side by side."""
    text = orders.as_json({"a": {"b": {"c": value}}})
    assert json.loads(text) == {"a": {"b": {"c": value}}}
    assert "{{" not in text
    assert "}}" not in text


def test_a_delta_is_read_as_it_was_written(tmp_path: Path) -> None:
    """With everything that is in it."""
    delta = replace(
        FIRST,
        files={"f": FileLeft("file", "abc", 0o600, 5), "gone": FileLeft("gone")},
        wanted=None,
        seen=Seen({"y": None}, {"b:z": "2"}, ("w",)),
        after=(1, 2),
        read=("g",),
        round=3,
        item="0.1",
        written=("x",),
    )
    deltas.write(str(tmp_path), delta, DONE)
    back = deltas.read(str(tmp_path))
    assert replace(back, folder="", held=tuple(replace(one, folder="") for one in back.held)) == delta


@pytest.mark.parametrize("text", ["", "{}", '{"format": "nbvertex.delta/0"}', "nonsense"])
def test_what_is_no_delta_is_told(tmp_path: Path, text: str) -> None:
    """A folder of another version, or of an attempt that did not come to its end."""
    (tmp_path / deltas.STATE).write_text(text)
    with pytest.raises(Unreadable):
        deltas.read(str(tmp_path))
    with pytest.raises(Unreadable):
        deltas.read(str(tmp_path / "absent"))


def test_a_step_that_did_not_see_an_earlier_one_is_found() -> None:
    """What it asked for is now something else; another name of the same object is nothing to it."""
    blind = Delta("b", 1, {"y": "b:y"}, (held("2", "b:y"),), wanted=("x",), seen=Seen({"x": None}, {}))
    with pytest.raises(NotTheSame, match="step b ran without .* did to x; .*`after:` mark on b"):
        deltas.merge([blind, FIRST])
    seeing = replace(blind, seen=Seen({"x": "a:x"}, {"a:x": "1"}))
    assert deltas.merge([seeing, FIRST]).names == {"x": "a:x", "y": "b:y"}
    named = replace(FIRST, names={"x": "a:x", "also": "a:x"})
    assert deltas.merge([seeing, named]).names.keys() == {"x", "also", "y"}


def test_random_numbers_that_nobody_drew() -> None:
    """Their state may differ for a step that draws none."""
    seeds = Delta("a", 0, {"@random": "a:@random"}, (held("1", "a:@random"),))
    calm = Delta("b", 1, {"y": "b:y"}, (held("2", "b:y"),))
    assert deltas.merge([seeds, calm]).names == {"@random": "a:@random", "y": "b:y"}
    with pytest.raises(NotTheSame):
        deltas.merge([seeds, replace(calm, draws=True)])


def test_files_of_steps_side_by_side() -> None:
    """Two that wrote to one path, or one that read what the other wrote."""
    writes = replace(FIRST, files={"f": FileLeft("file", "1")})
    beside = Delta("b", 1, files={"f": FileLeft("file", "2")})
    with pytest.raises(NotTheSame, match="step b ran beside step a, which wrote to f"):
        deltas.merge([writes, beside])
    assert deltas.merge([writes, replace(beside, after=(0,))]).files["f"][0].content == "2"
    with pytest.raises(NotTheSame):
        deltas.merge([writes, Delta("b", 1, read=("f",))])
    deltas.merge([writes, Delta("b", 1, files=writes.files)])  # both the same


def test_another_python_is_refused() -> None:
    """Its pickles may not be read."""
    with pytest.raises(Unreadable, match="Python 2.7"):
        deltas.merge([replace(FIRST, python="2.7")])


def test_a_working_folder_is_taken_along(tmp_path: Path) -> None:
    """Files with their content, mode and time, folders, links; what is gone is gone."""
    first, left, second = (tmp_path / name for name in ("first", "left", "second"))
    for folder in (first / "deep" / "er", second):
        folder.mkdir(parents=True)
    (first / "old").write_text("o")
    (first / "same").write_text("s")
    before = workplace.seen(str(first))
    (first / "old").unlink()
    (first / "deep" / "new").write_text("n")
    (first / "deep" / "new").chmod(0o700)
    os.utime(first / "deep" / "new", ns=(5, 7))
    (first / "empty").mkdir()
    (first / "link").symlink_to("deep/new")
    (first / "__pycache__").mkdir()
    found = workplace.take(str(first), before, str(left))
    assert {path: one.kind for path, one in found.items()} == {
        "old": "gone", "deep/new": "file", "empty": "folder", "link": "link",
    }  # fmt: skip
    kept = {path: (one, str(left)) for path, one in found.items() if one.kind != "gone"}
    workplace.lay_out(str(second), None, kept)
    assert (second / "link").read_text() == "n"
    assert (second / "deep" / "new").stat().st_mode & 0o777 == 0o700
    assert (second / "deep" / "new").stat().st_mtime_ns == 7
    assert (second / "empty").is_dir()
    assert workplace.take(str(second), workplace.seen(str(second)), str(left)) == {}


def test_parameters_arrive_as_the_notebook_means_them() -> None:
    """Services hand on whole numbers within lists as floats; what equals the default is not injected."""
    said = {
        "format": orders.FORMAT, "notebook": "n", "pipeline": "p", "step": "s", "index": 0, "cells": [],
        "parameters": [
            {"name": "xs", "cells": [1, 2], "kind": "list", "default": [1], "known": True},
            {"name": "n", "cells": [1], "kind": "int", "default": 3, "known": True},
            {"name": "any", "cells": [1], "kind": "any"},
            {"name": "state", "cells": [1], "kind": "str", "given": "state_given"},
        ],
    }  # fmt: skip
    order = orders.read(said, [])
    values = {"xs": [1.0, 2.5, {"a": 2.0}], "n": 3.0, "any": "1e3", "state_given": "x", "state": "no"}
    assert order.given(values) == (
        (1, "xs", [1, 2.5, {"a": 2}]), (2, "xs", [1, 2.5, {"a": 2}]), (1, "any", 1000.0), (1, "state", "x"),
    )  # fmt: skip
    assert order.given({"n": 4.0}) == ((1, "n", 4),)
    exact = replace(order, exact=True)
    assert exact.given({"n": 3, "xs": [1.0]}) == ((1, "xs", [1.0]), (2, "xs", [1.0]), (1, "n", 3))
