"""Instances of a notebook's own classes by their parts: Run All never calls their pickling hooks, nor do we."""

from __future__ import annotations

from typing import Any

from . import definitions

_HOOKS = (
    "__reduce_ex__",
    "__reduce__",
    "__getstate__",
    "__setstate__",
    "__getnewargs_ex__",
    "__getnewargs__",
)
_VALUES: tuple[type, ...] = (int, float, complex, str, bytes, tuple, frozenset)
_CONTAINERS: tuple[type, ...] = (list, dict, set, bytearray)
_MISSING = object()


def reduce(obj: Any) -> Any:
    """The parts of an instance; NotImplemented where a library's own way of pickling it must be followed."""
    return NotImplemented if _library_hook(type(obj)) else parts(obj)


def parts(obj: Any) -> Any:
    """The parts of an instance, whatever hooks its class has; NotImplemented where they are not all to be seen."""
    cls = type(obj)
    base = next((c for c in cls.__mro__ if c in _VALUES or c in _CONTAINERS), None)
    if isinstance(obj, BaseException):
        return exception(obj)
    if base is None and not _is_plain_layout(cls):
        return NotImplemented
    return make, (cls, base, _value(obj, base)), _state(obj, base), None, None, fill


def _library_hook(cls: type) -> bool:
    for base in cls.__mro__:
        if base is object or base.__module__ == "builtins" or not definitions.is_importable(base):
            continue
        if any(hook in vars(base) for hook in _HOOKS):
            return True
    return False


def _is_plain_layout(cls: type) -> bool:
    """Only object, and classes written in Python, lie below."""
    return all(c is object or c.__flags__ & (1 << 9) for c in cls.__mro__)


def _value(obj: Any, base: type | None) -> Any:
    return base(obj) if base in _VALUES and base is not None else None


def _state(obj: Any, base: type | None) -> tuple[Any, ...]:
    items: Any = None
    if base is dict:
        items = dict(dict.items(obj))
    elif base is list:
        items = list(list.__iter__(obj))
    elif base is set:
        items = list(set.__iter__(obj))
    elif base is bytearray:
        items = bytes(obj)
    return _attributes(obj), _slots(obj), items, base


def _attributes(obj: Any) -> Any:
    """The dict of its attributes, past its own hooks."""
    try:
        return object.__getattribute__(obj, "__dict__")
    except AttributeError:
        return None


def _slots(obj: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for cls in type(obj).__mro__:
        slots = vars(cls).get("__slots__", ())
        for slot in [slots] if isinstance(slots, str) else slots:
            name = (
                f"_{cls.__name__.lstrip('_')}{slot}"
                if slot.startswith("__") and not slot.endswith("__")
                else slot
            )
            if name in ("__dict__", "__weakref__"):
                continue
            value = _slot_value(cls, name, obj)
            if value is not _MISSING:
                found[name] = value
    return found


def _slot_value(cls: type, name: str, obj: Any) -> Any:
    descriptor = vars(cls).get(name)
    if descriptor is None:
        return _MISSING
    try:
        return descriptor.__get__(obj, type(obj))
    except AttributeError:  # a slot that is not filled
        return _MISSING


def make(cls: type, base: type | None, value: Any) -> Any:
    """An instance without its contents yet; ``__init__`` and a ``__new__`` of the notebook are not run again."""
    if base is None:
        return object.__new__(cls)
    new: Any = base.__new__
    return new(cls, value) if base in _VALUES else new(cls)


def fill(obj: Any, state: tuple[Any, ...]) -> None:
    """Give a rebuilt instance its contents, past its own hooks."""
    attributes, slots, items, base = state
    if base is dict:
        dict.update(obj, items)
    elif base is list:
        list.extend(obj, items)
    elif base is set:
        set.update(obj, items)
    elif base is bytearray:
        bytearray.extend(obj, items)
    if attributes:
        object.__setattr__(obj, "__dict__", attributes)  # the very dict: others may hold it, too
    for name, value in slots.items():
        for cls in type(obj).__mro__:
            if name in vars(cls):
                vars(cls)[name].__set__(obj, value)
                break


def exception(error: BaseException) -> Any:
    """An exception with all that it says and where it has been."""
    if type(error).__reduce__ is not BaseException.__reduce__ and definitions.is_importable(type(error)):
        return NotImplemented
    extras = {
        "cause": error.__cause__,
        "context": error.__context__,
        "suppress": error.__suppress_context__,
        "slots": _slots(error),
        "dict": dict(error.__dict__),
        "traceback": error.__traceback__,
    }
    return make_exception, (type(error), error.args), extras, None, None, fill_exception


def make_exception(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """An exception with its arguments; its ``__init__`` is not run again."""
    builtin = next(c for c in cls.__mro__ if c.__module__ == "builtins")
    made: BaseException = builtin.__new__(cls, *args)
    made.args = args
    return made


def fill_exception(error: BaseException, extras: dict[str, Any]) -> None:
    """What an exception carries beside its arguments."""
    error.__dict__.update(extras["dict"])
    error.__cause__ = extras["cause"]
    error.__context__ = extras["context"]
    error.__suppress_context__ = extras["suppress"]
    error.__traceback__ = extras["traceback"]
    for name, value in extras["slots"].items():
        setattr(error, name, value)
