"""NumPy arrays: their bytes beside the pickle, and views that still share memory on the other side."""

from __future__ import annotations

import sys
from typing import Any

Reduced = tuple[Any, ...]

APART = 1 << 16  # arrays of at least this many bytes lie outside the pickle, so that they can be mapped


def is_plain(array: Any) -> bool:
    """An ndarray of exactly that class whose bytes are all there is to it."""
    numpy = sys.modules["numpy"]
    return type(array) is numpy.ndarray and not array.dtype.hasobject and array.dtype.metadata is None


def owner_of(array: Any) -> Any | None:
    """The array whose memory this one shows a part of; None where it stands alone."""
    numpy = sys.modules["numpy"]
    base = array.base
    while type(base) is numpy.ndarray and type(base.base) is numpy.ndarray:
        base = base.base
    if (
        type(base) is not numpy.ndarray
        or not is_plain(base)
        or not (base.flags.c_contiguous or base.flags.f_contiguous)
    ):
        return None
    start = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return base if array.size and 0 <= start <= base.nbytes else None


def reduce_view(array: Any, base: Any) -> Reduced:
    """A view by the array it shows, where in it, and how."""
    start = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return view_of, (base, start, array.shape, array.strides, array.dtype, array.flags.writeable)


def view_of(
    base: Any, start: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any, writeable: bool
) -> Any:
    """The view again, on the array that has arrived."""
    numpy = sys.modules["numpy"]
    flat = base.reshape(-1, order="A") if not base.flags.c_contiguous else base.reshape(-1)
    memory = flat.view(numpy.uint8)
    low = sum((n - 1) * s for n, s in zip(shape, strides, strict=True) if s < 0)
    span = memory[start + low :]
    view = numpy.ndarray(shape, dtype, span, -low, strides)
    view.flags.writeable = writeable
    return view


def reduce_array(array: Any) -> Reduced:
    """An array by its bytes; big ones as a buffer beside the pickle."""
    import pickle

    numpy = sys.modules["numpy"]
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    packed = array if array.flags.c_contiguous or array.flags.f_contiguous else numpy.ascontiguousarray(array)
    facts = (array.shape, order, array.dtype, array.flags.writeable)
    if packed.nbytes < APART:
        return small_array, (packed.tobytes(order="A"), *facts)
    flat = packed.reshape(-1, order="A").view(numpy.uint8)
    return mapped_array, (pickle.PickleBuffer(flat), *facts)


def small_array(data: bytes, shape: tuple[int, ...], order: Any, dtype: Any, writeable: bool) -> Any:
    """An array that owns its memory."""
    import numpy

    array = numpy.empty(shape, dtype, order=order)
    if array.nbytes:
        array.reshape(-1, order="A").view(numpy.uint8)[:] = numpy.frombuffer(data, numpy.uint8)
    array.flags.writeable = writeable
    return array


def mapped_array(buffer: Any, shape: tuple[int, ...], order: Any, dtype: Any, writeable: bool) -> Any:
    """An array on a buffer that is mapped copy-on-write."""
    import numpy

    array = numpy.ndarray(shape, dtype, buffer, order=order)
    array.flags.writeable = writeable
    return array
