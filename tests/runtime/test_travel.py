"""What the runtime writes of an object is that object again when it is read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex.runtime import arrays, carried, container, formats, pickler, sets


def sent(*objects: Any) -> list[Any]:
    """The objects after the way to another step, here without the process between."""
    dump = pickler.dump(list(objects), {}, ())
    kind, stream, buffers = formats.encode(list(objects), dump)
    data = b"".join(bytes(part) for part in container.pieces(kind, ["e"] * len(objects), stream, buffers))
    import hashlib

    return formats.read(container.read_bytes(data, hashlib.sha256(data).hexdigest()))


ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4)
        | st.tuples(inner, inner)
        | st.frozensets(st.integers() | st.text(max_size=2), max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_values_come_back_with_their_types(value: Any) -> None:
    """Nothing becomes a list that was a tuple, an int that was a bool, a 1.0 that was a 1."""
    assert repr(sent(value)[0]) == repr(value)


@given(st.lists(VALUES, min_size=1, max_size=3))
def test_what_is_shared_stays_shared(values: list[Any]) -> None:
    """The same list in two places is one list on the other side."""
    inner = list(values)
    one, other = sent({"a": inner, "b": [inner]}, inner)
    assert one["a"] is other
    assert one["b"][0] is other


def test_a_nan_is_still_found_in_its_list() -> None:
    """`in` asks for identity first, and a NaN equals nothing."""
    nan = float("nan")
    again, values = sent(nan, [nan, 1.0])
    assert values.count(again) == 1
    held_by_a_module = math.nan
    assert sent([held_by_a_module])[0][0] is held_by_a_module


@given(st.sets(st.integers(0, 5000) | st.text(max_size=2)), st.sets(st.integers(0, 5000)))
def test_sets_keep_their_order(items: set[Any], gone: set[Any]) -> None:
    """The order in which a set is printed may come of items that have left it."""
    items |= gone
    for item in gone:
        items.discard(item)
    try:
        again = sent(items)[0]
    except carried.CannotTravel:
        return
    assert list(again) == list(items)


def test_a_set_that_shrank_keeps_its_order() -> None:
    """{0, 8, 300, 515} in a table for a thousand is printed otherwise than in a fresh one."""
    items = set(range(1000)) - {0}
    items.add(0)
    for number in range(1000):
        if number not in {0, 8, 300, 515}:
            items.discard(number)
    assert not sets.keeps_order(items)
    assert list(sent(items)[0]) == list(items)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=300))
def test_a_set_that_grew_and_shrank_keeps_its_order(changes: list[tuple[bool, int]]) -> None:
    """Where items lay that are gone, others were put further on: they are so again."""
    items: set[str] = set()
    for add, number in changes:
        (items.add if add else items.discard)(f"item {number}")
    try:
        again = sent(items)[0]
    except carried.CannotTravel:  # two lie where each was in the other's way: rare, and told
        return
    assert list(again) == list(items)


SLICES = st.builds(
    slice,
    st.none() | st.integers(-9, 9),
    st.none() | st.integers(-9, 9),
    st.sampled_from([None, 1, 2, -1, -3]),
)


@given(SLICES, SLICES, st.sampled_from("CF"), st.booleans())
def test_a_view_is_still_a_view(rows: slice, columns: slice, order: Any, turned: bool) -> None:
    """Writing through a slice of an array is seen in the array, on the other side too."""
    array = np.asarray(np.arange(48.0).reshape(8, 6), order=order)
    view = array[rows, columns].T if turned else array[rows, columns]
    again, part = sent(array, view)
    assert (part == view).all()
    assert not view.size or part.strides == view.strides
    assert part.base is not None or not view.size
    part[...] = -1.0
    view[...] = -1.0
    assert (again == array).all()


@pytest.mark.parametrize("dtype", ["i4", "f8", "c16", "bool", "U3", "M8[ns]", [("a", "i2"), ("b", "f4")]])
@pytest.mark.parametrize("count", [0, 3, 40_000])
def test_arrays_come_back_exactly(dtype: Any, count: int) -> None:
    """Of any plain type, small ones and ones that lie beside the pickle."""
    array = np.zeros(count, dtype)
    array.flags.writeable = False
    again = sent(array)[0]
    assert type(again) is np.ndarray
    assert (again.dtype, again.shape, again.flags.writeable) == (array.dtype, array.shape, False)
    assert again.tobytes() == array.tobytes()


def test_a_damaged_artifact_is_found(tmp_path: Path) -> None:
    """One bit is enough."""
    path = str(tmp_path / "artifact")
    digest, size = container.write(
        path, container.pieces("pickle", ["e"], b"stream", [memoryview(bytes(100_000))])
    )
    assert Path(path).stat().st_size == size
    assert container.read_file(path, digest).buffers[0].nbytes == 100_000
    with open(path, "r+b") as file:
        file.seek(size // 2)
        file.write(b"\x01")
    with pytest.raises(container.Corrupt):
        container.read_file(path, digest)


def test_a_mapped_array_knows_whether_it_was_written_to(tmp_path: Path) -> None:
    """An untouched one need not be read again to say that it has not changed."""
    path = str(tmp_path / "artifact")
    array = np.arange(100_000.0)
    kind, stream, buffers = formats.encode([array], pickler.dump([array], {}, ()))
    digest, _ = container.write(path, container.pieces(kind, ["e"], stream, buffers))
    opened = container.read_file(path, digest)
    (again,) = formats.read(opened)
    assert opened.mapping is not None
    assert again.sum() == array.sum()
    assert container.is_untouched(opened.mapping)
    again[5] = 7.0
    assert not container.is_untouched(opened.mapping)
    assert formats.read(container.read_file(path, digest))[0][5] == 5.0


def test_json_is_used_only_where_it_is_exact() -> None:
    """A tuple, an int key, a shared list or infinity goes another way."""

    def kind_of(value: Any) -> str:
        return formats.encode([value], pickler.dump([value], {}, ()))[0]

    shared: list[int] = []
    assert kind_of({"a": [1, 2.5, None, True, "x"]}) == "json"
    for value in ((1, 2), {1: 2}, [shared, shared], float("inf"), b"x"):
        assert kind_of(value) == "pickle"
    assert kind_of(np.zeros(arrays.APART)) == "array"


def test_what_cannot_travel_says_what_it_is() -> None:
    """With the mend, for the message to the user."""
    with pytest.raises(carried.CannotTravel, match="a generator") as caught:
        begun = (i for i in range(3))
        next(begun)
        pickler.dump([{"deep": [begun]}], {}, ())
    assert "list(...)" in caught.value.hint
