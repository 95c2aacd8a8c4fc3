"""What names hold, told in digests: alike in two processes where a program could see no difference.

This file is also sent to notebook kernels as text, so it imports nothing beside it.
"""

from __future__ import annotations

import enum
import hashlib
import itertools
import re
import reprlib
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

MOST = 300_000  # objects looked at in one name
DEEPEST = 60
_HISTORY = re.compile(r"_i?\d*$|_i+$|_+$|_[iod]h$|In$|Out$|__\w+__$")
_MADE_UP = re.compile(
    r"\b0x(?P<address>[0-9a-f]{9,16})\b|(?<=[/\\])(?P<name>tmp[a-z0-9_]{8})(?![a-z0-9_])|(?<![\d.])(?P<id>\d{14,15})(?![\d.])"
)
_ATOMS = (type(None), bool, int, str, bytes, float, complex)
_ATOM_TYPES = frozenset(_ATOMS)
_BY_REPR = frozenset(
    "datetime.datetime datetime.date datetime.time datetime.timedelta datetime.timezone decimal.Decimal"
    " fractions.Fraction uuid.UUID builtins.range builtins.slice builtins.ellipsis builtins.NotImplementedType"
    " pathlib.PosixPath pathlib.PurePosixPath pathlib._local.PosixPath zoneinfo.ZoneInfo re.Pattern"
    " pandas.Timestamp pandas.Timedelta pandas.Interval pandas.Period".split()
)
_STANDARD: frozenset[str] = getattr(sys, "stdlib_module_names", frozenset())  # from 3.10
_OF_PYTHON = frozenset(
    "__dict__ __weakref__ __slotnames__ __module__ __doc__ __firstlineno__ __static_attributes__ _abc_impl __annotate__"
    " __annotate_func__ __annotations_cache__ __abstractmethods__".split()
)


_STREAMS = ("sys.stdout", "sys.stderr")


def survey(namespace: dict[str, Any], hidden: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    """Name -> type, digest (empty where the value cannot be looked into), and a short text of the value.

    Args:
        namespace: the notebook's.
        hidden: what IPython put into it.
    """
    return told_and_shared(namespace, hidden)[0]


def told_and_shared(
    namespace: dict[str, Any], hidden: dict[str, Any]
) -> tuple[dict[str, tuple[str, str, str]], dict[str, list[str]]]:
    """The same, and for each name those that hold an object of its: who changes it by one of them changes both."""
    found = {}
    tellers: dict[str, _Teller] = {}
    for name, value in list(namespace.items()):
        if not (
            _HISTORY.match(name) or _is_shells(name, value) or (name in hidden and hidden[name] is value)
        ):
            teller = tellers[name] = _Teller()
            found[name] = (type_name(value), _digest(teller, value), short(value))
    holders: dict[int, set[str]] = {}
    for name, teller in tellers.items():
        for number in teller.met:
            holders.setdefault(number, set()).add(name)
    shared: dict[str, set[str]] = {}
    for names in holders.values():
        for name in names if len(names) > 1 else ():
            shared.setdefault(name, set()).update(names - {name})
    return found, {name: sorted(others) for name, others in shared.items()}


def _is_shells(name: str, value: Any) -> bool:
    """IPython put it there, perhaps once more: `%run -i` does."""
    made_in = getattr(value, "__module__", None)
    return name in ("exit", "quit", "get_ipython", "open") and str(made_in).startswith("IPython.")


def steady(text: str) -> str:
    """A text without addresses, what `id` gives, and the names that `tempfile` makes up."""
    return _MADE_UP.sub(_steady, text)


def _steady(match: re.Match[str]) -> str:
    if match["name"]:
        return "tmp..."
    number, step = (int(match["address"], 16), 8) if match["address"] else (int(match["id"]), 16)
    lowest = 1 << 32 if match["address"] else 0x5000_0000_0000
    return "..." if lowest <= number < 1 << 48 and number % step == 0 else match[0]


def digest(value: Any) -> str:
    """Equal for values that no program could tell apart, as far as they can be looked into."""
    return _digest(_Teller(), value)


def _digest(teller: _Teller, value: Any) -> str:
    try:
        teller.tell(value, 0)
    except Exception:  # the value's own code raised, or the value changes while it is looked at
        return ""
    return "" if teller.opaque else teller.hash.hexdigest()[:32]


def type_name(value: Any) -> str:
    """The type with its module, where that is not `builtins` or the notebook."""
    if value is sys.stdout or value is sys.stderr:  # which of them is of whose making cells do not ask
        return _STREAMS[value is sys.stderr]
    kind = type(value)
    return kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else _full(kind)


def short(value: Any) -> str:
    """The value in one line, or what there is to know about its shape; empty where its own code would have to say."""
    try:
        if _plain(value, 3):
            return reprlib.repr(value)
        if _full(type(value)) in _BY_REPR or getattr(value, "shape", None) == ():
            return str(value)[:80]
        shape = (
            getattr(value, "shape", None) if _module(type(value)) in ("numpy", "pandas", "torch") else None
        )
        if isinstance(shape, tuple):
            columns = getattr(value, "columns", None)
            named = "" if columns is None else ": " + ", ".join(map(str, list(columns)[:6]))
            first = [str(item) for item in value.flat[:3]] if type(value).__name__ == "ndarray" else []
            listed = f": {', '.join(first)}, ..." if first and not value.dtype.hasobject else ""
            return " x ".join(map(str, shape)) + f" {getattr(value, 'dtype', '')}".rstrip() + named + listed
    except Exception:  # it is only for show
        pass
    return ""


def _plain(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind is dict:
        return depth > 0 and all(_plain(part, depth - 1) for item in list(value.items())[:8] for part in item)
    return (
        kind in (list, tuple, set, frozenset)
        and depth > 0
        and all(_plain(part, depth - 1) for part in list(value)[:8])
    )


def _full(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _module(kind: type) -> str:
    return kind.__module__.partition(".")[0]


class _Teller:
    """Tells one value to a hash.

    Args:
        opaque: the value itself, or all there is in it, could not be looked into.
    """

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.opaque = False
        self._memory: dict[int, Any] = {}
        self._known: dict[int, tuple[int, Any]] = {}
        self._left = MOST

    @property
    def met(self) -> set[int]:
        """The objects in it, and the memory of its arrays."""
        return self._known.keys() | self._memory.keys()

    def within(self, array: Any) -> None:
        """The array's values lie in the memory of another."""
        while getattr(array, "base", None) is not None:
            array = array.base
        self._memory[id(array)] = array

    def say(self, text: str) -> None:
        self.hash.update(text.encode("utf-8", "surrogatepass") + b"\0")

    def tell(self, value: Any, depth: int) -> None:
        self._left -= 1
        kind = type(value)
        if kind in _ATOMS:
            self.say(kind.__name__ + " " + steady(repr(value)))
        elif self._left < 0 or depth > DEEPEST:
            self.say("and so on")
        elif kind is tuple or kind is frozenset:
            self._container(value, depth)
        elif id(value) in self._known:
            self.say(f"again {self._known[id(value)][0]}")
        else:
            self._known[id(value)] = len(self._known), value
            self._object(value, depth)

    def _object(self, value: Any, depth: int) -> None:
        name = type_name(value)
        self.say(name)
        if name in _STREAMS:
            return
        if isinstance(value, (list, dict, set, tuple, frozenset)):
            self._container(value, depth)
            if _module(type(value)) == "__main__":
                self._attributes(value, depth)
            elif type(value).__module__ != "builtins":
                self._shown(value, depth)
            return
        teller = _special(value)
        if teller is not None:
            teller(self, value, depth)
        elif _module(type(value)) == "__main__":
            self._attributes(value, depth)
        elif _module(type(value)) in _STANDARD:
            self._reduced(value, depth)
        else:
            self._library(value, depth)

    def parts(self, values: Iterable[Any], depth: int) -> None:
        """Tell one after the other, as far as there is patience for."""
        for value in values:
            self.tell(value, depth + 1)
            if self._left < 0:
                return

    def _container(self, value: Any, depth: int) -> None:
        self.say(f"{type(value).__name__} of {len(value)}")
        if isinstance(value, dict):
            self.parts(itertools.chain.from_iterable(value.items()), depth)
        elif isinstance(value, (set, frozenset)):
            self.say(" ".join(sorted(digest(item) or type_name(item) for item in value)))
        elif len(value) > 1000 and _ATOM_TYPES.issuperset(map(type, value)):
            for start in range(0, len(value), 10_000):
                self.say(steady(repr(value[start : start + 10_000])))
        else:
            self.parts(list(value), depth)

    def _attributes(self, value: Any, depth: int) -> None:
        self.tell(dict(getattr(value, "__dict__", {})), depth + 1)
        for kind in type(value).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                if slot not in ("__dict__", "__weakref__") and hasattr(value, slot):
                    self.say(slot)
                    self.tell(getattr(value, slot), depth + 1)

    def _reduced(self, value: Any, depth: int) -> None:
        try:
            parts = value.__reduce_ex__(4)
        except Exception:  # it cannot be copied, so it cannot be looked into
            self._closed(depth)
            return
        if isinstance(parts, str):
            self.say(parts)
            return
        make, args, state, items, pairs = [*parts, None, None, None][:5]
        if make is iter and args in (([],), ((),), ("",)):  # at its end: how it got there cannot be told
            return
        self.say(getattr(make, "__qualname__", ""))
        self.parts((args, state, list(items or ()), list(pairs or ())), depth)

    def _library(self, value: Any, depth: int) -> None:
        """What a library's object shows of itself; what it hides may be a cache or an address."""
        if not self._shown(value, depth):
            self._closed(depth)

    def _shown(self, value: Any, depth: int) -> bool:
        """The attributes that are meant to be seen; False where there are none."""
        attributes = getattr(value, "__dict__", None) or {}
        shown = sorted(name for name in attributes if isinstance(name, str) and not name.startswith("_"))
        for name in shown:
            self.say(name)
            self.tell(attributes[name], depth + 1)
        return bool(shown)

    def _closed(self, depth: int) -> None:
        self.opaque = self.opaque or depth == 0


def _special(value: Any) -> Callable[[_Teller, Any, int], None] | None:
    """How to tell a value of a kind that is known here."""
    kind = type(value)
    full = _full(kind)
    if full in _BY_REPR or full.startswith("pandas._libs."):
        return _by_repr
    for base, teller in _KINDS:
        if isinstance(value, base):
            return teller
    top = _module(kind)
    if top == "numpy":
        return _numpy(value)
    if top == "pandas":
        return _PANDAS.get(next((base.__name__ for base in kind.__mro__ if base.__name__ in _PANDAS), ""))
    if top == "torch" and hasattr(value, "detach"):
        return lambda teller, tensor, depth: _array(teller, tensor.detach().cpu().numpy(), depth)
    if kind.__name__ == "TimeitResult" or top in (
        "matplotlib",
        "tensorflow",
        "keras",
        "jax",
        "pyspark",
        "sqlalchemy",
        "ipywidgets",
        "IPython",
        "threading",
    ):
        return _only_type
    return None


def _by_repr(teller: _Teller, value: Any, depth: int) -> None:
    teller.say(steady(repr(value)))


def _only_type(teller: _Teller, value: Any, depth: int) -> None:
    teller.opaque = teller.opaque or depth == 0


def _named(teller: _Teller, value: Any, depth: int) -> None:
    teller.say(str(getattr(value, "__qualname__", None) or getattr(value, "__name__", "")))


def _enum(teller: _Teller, value: Any, depth: int) -> None:
    teller.say(str(value.name))


def _function(teller: _Teller, value: Any, depth: int) -> None:
    teller.say(value.__qualname__)
    if value.__module__ != "__main__":
        return
    _code(teller, value.__code__, depth)
    cells = [_inside(cell) for cell in value.__closure__ or ()]
    teller.parts((value.__defaults__, value.__kwdefaults__, cells, dict(value.__dict__)), depth)


def _inside(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing has been bound to it yet
        return None


def _code(teller: _Teller, code: types.CodeType, depth: int) -> None:
    teller.say(repr((code.co_name, code.co_code, code.co_names, code.co_varnames, code.co_freevars)))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _code(teller, constant, depth)
        else:
            teller.tell(constant, depth + 1)


def _method(teller: _Teller, value: Any, depth: int) -> None:
    teller.parts((value.__self__, value.__func__), depth)


def _builtin(teller: _Teller, value: Any, depth: int) -> None:
    _named(teller, value, depth)
    if not isinstance(value.__self__, types.ModuleType):
        teller.tell(value.__self__, depth + 1)


def _wrapped(teller: _Teller, value: Any, depth: int) -> None:
    teller.tell(getattr(value, "__func__", None) or getattr(value, "fget", None), depth + 1)


def _class(teller: _Teller, value: Any, depth: int) -> None:
    teller.say(value.__qualname__)
    if value.__module__ != "__main__":
        return
    teller.parts(value.__bases__, depth)
    for name, part in sorted(vars(value).items()):
        if name not in _OF_PYTHON and not isinstance(
            part, (types.GetSetDescriptorType, types.MemberDescriptorType)
        ):
            teller.say(name)
            teller.tell(part, depth + 1)


def _error(teller: _Teller, value: Any, depth: int) -> None:
    teller.parts((value.args, dict(value.__dict__)), depth)


_KINDS: tuple[tuple[Any, Callable[[_Teller, Any, int], None]], ...] = (
    (types.ModuleType, _named),
    (types.FunctionType, _function),
    (types.MethodType, _method),
    (types.BuiltinFunctionType, _builtin),
    ((staticmethod, classmethod, property), _wrapped),
    (type, _class),
    (BaseException, _error),
    (enum.Enum, _enum),
    ((types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType), _only_type),
)


def _numpy(value: Any) -> Callable[[_Teller, Any, int], None] | None:
    import numpy

    if isinstance(value, numpy.ma.MaskedArray):
        return lambda teller, array, depth: teller.parts(
            (numpy.asarray(array.filled()), numpy.ma.getmaskarray(array)), depth
        )
    if isinstance(value, numpy.ndarray):
        return _array
    if isinstance(value, numpy.generic):
        return _by_repr
    if isinstance(value, numpy.random.Generator):
        return lambda teller, generator, depth: teller.tell(generator.bit_generator.state, depth + 1)
    if isinstance(value, (numpy.random.RandomState, numpy.dtype)):
        return _Teller._reduced
    return None


def _array(teller: _Teller, value: Any, depth: int) -> None:
    teller.say(f"{value.dtype} {value.shape}")
    teller.within(value)
    if value.dtype.names:
        teller.parts((value[name] for name in value.dtype.names), depth)  # not the bytes between the fields
    elif value.dtype.hasobject:
        teller.parts(itertools.islice(value.flat, MOST), depth)
    else:
        teller.hash.update(value.tobytes())


def _frame(teller: _Teller, value: Any, depth: int) -> None:
    teller.parts((value.columns, value.index), depth)
    for number in range(value.shape[1]):
        _series_values(teller, value.iloc[:, number], depth)


def _series(teller: _Teller, value: Any, depth: int) -> None:
    teller.parts((value.name, value.index), depth)
    _series_values(teller, value, depth)


def _index(teller: _Teller, value: Any, depth: int) -> None:
    teller.tell(list(value.names), depth + 1)
    _series_values(teller, value, depth)


def _series_values(teller: _Teller, value: Any, depth: int) -> None:
    """The values of a column; not the objects behind them, which pandas makes anew as it likes."""
    import numpy

    teller.say(str(value.dtype))
    array = value.to_numpy()
    teller.within(array)
    if isinstance(value.dtype, numpy.dtype) and not array.dtype.hasobject:
        teller.hash.update(array.tobytes())
    else:
        _array(teller, array if array.dtype.hasobject else array.astype(object), depth)


_PANDAS: dict[str, Callable[[_Teller, Any, int], None]] = {
    "DataFrame": _frame,
    "Series": _series,
    "Index": _index,
    "NAType": _named,
}
