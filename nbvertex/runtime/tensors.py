"""Tensors of PyTorch: views that still share memory on the other side, gradients, and what cannot be taken along."""

from __future__ import annotations

import sys
from typing import Any

from . import carried, definitions

Reduced = tuple[Any, ...]


def reduce(pickler: Any, tensor: Any) -> Any:
    """A tensor by its memory and how it shows it, with its gradient; of other kinds than plain ones as torch does."""
    torch = sys.modules["torch"]
    if tensor.grad_fn is not None:
        hint = "detach() it, or call backward() in the step that computes it"
        raise carried.CannotTravel("a tensor that still knows how it was computed", hint)
    plain = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not plain or type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return NotImplemented
    storage = tensor.untyped_storage()
    pickler.kept.append(storage)  # as long as it is held it is the same object for all that share it
    args = (
        type(tensor),
        storage,
        tensor.dtype,
        tensor.storage_offset(),
        tuple(tensor.shape),
        tensor.stride(),
    )
    flags = (tensor.requires_grad, tensor.is_conj(), tensor.is_neg())
    state = (tensor.grad if tensor.is_leaf else None, dict(tensor.__dict__), tensor._backward_hooks)
    return make, (*args, *flags), state, None, None, fill


def make(
    cls: type,
    storage: Any,
    dtype: Any,
    offset: int,
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    needs_grad: bool,
    conjugated: bool,
    negated: bool,
) -> Any:
    """The tensor again, over its memory."""
    import torch  # type: ignore[import-not-found, import-untyped, unused-ignore]

    tensor = torch.empty(0, dtype=dtype).set_(storage, offset, shape, stride)
    if conjugated:
        tensor = tensor.conj()
    if negated:
        tensor = tensor._neg_view()
    if cls is torch.nn.Parameter:
        return torch.nn.Parameter(tensor, needs_grad)
    return tensor.requires_grad_(needs_grad) if needs_grad else tensor


def fill(tensor: Any, state: tuple[Any, dict[str, Any], Any]) -> None:
    """Its gradient, attributes and hooks."""
    grad, attributes, hooks = state
    if grad is not None:
        tensor.grad = grad
    tensor.__dict__.update(attributes)
    if hooks:
        tensor._backward_hooks = hooks


def reduce_storage(pickler: Any, storage: Any) -> Any:
    """The memory of tensors: its bytes, or the array that it belongs to."""
    if storage.device.type != "cpu":
        return NotImplemented
    numpy = sys.modules.get("numpy")
    owner = None if storage.resizable() or numpy is None else _owner(storage, numpy.ndarray)
    if owner is not None:
        start = storage.data_ptr() - owner.__array_interface__["data"][0]
        return storage_of, (owner, start, storage.nbytes())
    import torch

    pickler.kept.append(storage)
    data = torch.empty(0, dtype=torch.uint8).set_(storage, 0, (storage.nbytes(),), (1,))
    return storage_from, (data.numpy().tobytes(),)


def _owner(storage: Any, array: Any) -> Any:
    """The array, under a name or in a container that has one, whose memory this is: `torch.from_numpy`."""
    start, end = storage.data_ptr(), storage.data_ptr() + storage.nbytes()
    for value in list(definitions.namespace.values()):
        inside = (
            value.values() if type(value) is dict else value if type(value) in (list, tuple) else (value,)
        )
        for one in inside:
            held: Any = one
            if type(held) is array and held.flags.c_contiguous:
                low = held.__array_interface__["data"][0]
                if low <= start and end <= low + held.nbytes:
                    return held
    return None


def storage_from(data: bytes) -> Any:
    """Memory with these bytes."""
    import torch

    if not data:
        return torch.UntypedStorage(0)
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).clone().untyped_storage()


def storage_of(array: Any, start: int, size: int) -> Any:
    """The memory of an array, seen by torch."""
    import numpy
    import torch

    flat = array.reshape(-1).view(numpy.uint8)[start : start + size]
    return torch.from_numpy(flat).untyped_storage()


def reduce_generator(pickler: Any, generator: Any) -> Any:
    """A generator of random numbers, at its place."""
    torch = sys.modules["torch"]
    if generator.device.type != "cpu":
        return NotImplemented
    if generator is torch.default_generator:
        return default_generator, ()
    return generator_at, (generator.get_state().numpy().tobytes(),)


def default_generator() -> Any:
    """The generator that torch uses by itself."""
    import torch

    return torch.default_generator


def generator_at(state: bytes) -> Any:
    """The generator again."""
    import torch

    generator = torch.Generator()
    generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
    return generator
