"""NumPy arrays: their bytes beside the pickle, and views that still share memory on the other side."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

Reduced = tuple[Any, ...]

APART = 1 << 16  # arrays of at least this many bytes lie outside the pickle, so that they can be mapped


def is_plain(array: Any) -> bool:
    """An ndarray of exactly that class whose bytes are all there is to it."""
    numpy = sys.modules["numpy"]
    return type(array) is numpy.ndarray and not array.dtype.hasobject and array.dtype.metadata is None


def owner_of(array: Any) -> Any | None:
    """Whose memory this array shows a part of: another array, a bytearray or a memory map; None: its own."""
    numpy = sys.modules["numpy"]
    base = array.base
    while isinstance(base, numpy.ndarray) and isinstance(base.base, numpy.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if isinstance(base, numpy.ndarray):
        whole = base.flags.c_contiguous or base.flags.f_contiguous
        if not whole or base.dtype.hasobject or not (type(base) is numpy.ndarray or is_memmap(base)):
            return None
    elif type(base) is not bytearray:
        return None
    start = _address(array) - _address(base)
    return base if 0 <= start <= _size(base) else None


def is_memmap(array: Any) -> bool:
    """An array that shows a file, as a whole."""
    numpy = sys.modules["numpy"]
    return type(array) is numpy.memmap and type(array.base).__name__ == "mmap" and bool(array.filename)


def _address(memory: Any) -> int:
    if type(memory) is bytearray:
        return ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return int(memory.__array_interface__["data"][0])


def _size(memory: Any) -> int:
    return len(memory) if type(memory) is bytearray else int(memory.nbytes)


def reduce_view(array: Any, base: Any) -> Reduced:
    """A view by what it shows, where in it, and how."""
    start = _address(array) - _address(base)
    return view_of, (base, start, array.shape, array.strides, array.dtype, array.flags.writeable)


def reduce_memmap(array: Any) -> Reduced:
    """An array that shows a file: opened again."""
    numpy = sys.modules["numpy"]
    if array.mode != "r":
        array.flush()
    mode = "r+" if array.mode == "w+" else array.mode
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    args = (str(array.filename), array.dtype, mode, array.offset, array.shape, order)
    return numpy.memmap, args, {"mode": array.mode}, None, None, set_attributes


def reduce_subclass(array: Any) -> Reduced:
    """An array of a class of its own, with its attributes."""
    numpy = sys.modules["numpy"]
    attributes = {k: v for k, v in getattr(array, "__dict__", {}).items() if k != "_mmap"}
    args = (array.view(numpy.ndarray), type(array))
    return as_class, args, attributes, None, None, set_attributes


def as_class(array: Any, cls: type) -> Any:
    """The array as one of that class; its ``__array_finalize__`` runs as for every view."""
    return array.view(cls)


def set_attributes(array: Any, attributes: dict[str, Any]) -> None:
    """Give a rebuilt array the attributes that were set on it."""
    array.__dict__.update(attributes)


def reduce_empty(array: Any) -> Reduced | None:
    """An array of no objects that is no view, or None where it is another: its strides are those of a new one."""
    numpy = sys.modules["numpy"]
    if array.size or array.base is not None or type(array) is not numpy.ndarray:
        return None
    return numpy.empty, (array.shape, array.dtype)


def reduce_object_view(array: Any) -> Reduced | None:
    """A view of an array of objects, or None where it is no such view."""
    numpy = sys.modules["numpy"]
    base = array.base
    if type(base) is not numpy.ndarray or base.dtype != array.dtype or not base.flags.c_contiguous:
        return None
    start = _address(array) - _address(base)
    return object_view, (base, start, array.shape, array.strides, array.flags.writeable)


def object_view(
    base: Any, start: int, shape: tuple[int, ...], strides: tuple[int, ...], writeable: bool = True
) -> Any:
    """The view again, on the array of objects that has arrived."""
    import numpy

    view = numpy.ndarray(shape, base.dtype, base, start, strides)
    if not writeable:
        view.flags.writeable = False
    return view


def view_of(
    base: Any, start: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any, writeable: bool
) -> Any:
    """The view again, on the array that has arrived."""
    import numpy

    if type(base) is bytearray:
        memory = numpy.frombuffer(base, numpy.uint8)
    else:
        memory = base.view(numpy.ndarray).reshape(-1, order="A").view(numpy.uint8)
    low = 0 if 0 in shape else sum((n - 1) * s for n, s in zip(shape, strides, strict=True) if s < 0)
    span = memory[start + low :]
    view = numpy.ndarray(shape, dtype, span, -low, strides)
    if not writeable:
        view.flags.writeable = False
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
