"""How objects are written: JSON and plain arrays where that gives back exactly the same, else pickle."""

from __future__ import annotations

import io
import math
import pickle
import sys
from json import dumps, loads  # bound here: cells may replace them in their module
from typing import Any

from . import arrays, container, libraries, pickler

ATOMS = frozenset({type(None), bool, int, str, bytes, float, complex})  # built-in, and nobody can change them


def read(opened: container.Opened) -> list[Any]:
    """The objects of an artifact, in the order of its entries."""
    if opened.kind == "json":
        return list(loads(bytes(opened.stream)))
    if opened.kind == "array":
        facts = loads(bytes(opened.stream))
        import numpy

        make = arrays.mapped_array(
            opened.buffers[0],
            tuple(facts["shape"]),
            facts["order"],
            numpy.dtype(facts["dtype"]),
            facts["writeable"],
        )
        return [make]
    loaded = list(pickler.HeapUnpickler(io.BytesIO(opened.stream), opened.buffers).load())
    libraries.settle()
    return loaded


def encode(objects: list[Any], dump: pickler.Dump) -> tuple[str, bytes, list[memoryview]]:
    """The safest format that gives back exactly these objects."""
    if not (dump.buffers or dump.by_name) and len(dump.stream) <= container.SMALL and _fits_json(objects):
        return "json", dumps(objects, separators=(",", ":")).encode(), []
    buffers = [b.raw() for b in dump.buffers]
    if len(objects) == 1 and len(buffers) == 1 and _is_array(objects[0]):
        array = objects[0]
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        facts = {
            "shape": array.shape,
            "order": order,
            "dtype": array.dtype.str,
            "writeable": bool(array.flags.writeable),
        }
        return "array", dumps(facts).encode(), buffers
    if not dump.stream:  # a built-in value that JSON does not give back exactly
        return "pickle", pickle.dumps(objects, protocol=5), []
    return "pickle", dump.stream, buffers


def _is_array(obj: Any) -> bool:
    if "numpy" not in sys.modules or not isinstance(obj, sys.modules["numpy"].ndarray):
        return False
    plain: bool = arrays.is_plain(obj) and obj.dtype.isbuiltin == 1 and obj.dtype.kind in "biufc"
    return plain and arrays.owner_of(obj) is None


def _fits_json(objects: list[Any]) -> bool:
    try:
        return _is_json(objects, set())
    except RecursionError:
        return False


def _is_json(obj: Any, seen: set[int]) -> bool:
    """Does JSON give back exactly this, nothing in it shared?"""
    kind = type(obj)
    if kind in (str, int, bool, type(None)):
        return True
    if kind is float:
        return math.isfinite(obj)
    if kind not in (list, dict) or id(obj) in seen:
        return False
    seen.add(id(obj))
    if kind is dict:
        return all(type(k) is str and _is_json(v, seen) for k, v in obj.items())
    return all(_is_json(item, seen) for item in obj)
