"""Functions, classes and their like taken apart and rebuilt, not run again: state and identity hold."""

from __future__ import annotations

import abc
import contextlib
import enum
import itertools
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from . import code as codes

Reduced = tuple[Any, ...]

KINDS: tuple[type, ...] = tuple(
    kind
    for kind in (
        types.FunctionType,
        type,
        typing.TypeVar,
        typing.ParamSpec,
        typing.TypeVarTuple,
        getattr(typing, "TypeAliasType", None),
        typing.NewType,
    )
    if isinstance(kind, type)
)

namespace: dict[str, Any] = {}  # the live namespace of this process; set by heap


def use(live: dict[str, Any]) -> None:
    """Rebuilt functions get ``live`` as their globals from now on."""
    global namespace
    namespace = live


def is_importable(obj: Any) -> bool:
    """Can another process find this very object by module and name?"""
    module = getattr(obj, "__module__", None)
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__":
        return False
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            return False
    return found is obj


# ---------------------------------------------------------------------------------------------- functions


def reduce_function(function: types.FunctionType) -> Reduced:
    """What rebuilds a function: its code, name, closure and globals, then its state."""
    described = codes.describe(function.__code__)
    args = (*described, function.__name__, function.__closure__, where(function.__globals__))
    state = {
        "defaults": function.__defaults__,
        "kwdefaults": function.__kwdefaults__,
        "dict": dict(function.__dict__),
        "annotations": _annotations(function),
        "doc": function.__doc__,
        "module": function.__module__,
        "qualname": function.__qualname__,
    }
    if getattr(function, "__type_params__", ()):
        state["type_params"] = function.__type_params__  # type: ignore[attr-defined]  # from 3.12
    return make_function, args, state, None, None, set_function


def _annotations(function: types.FunctionType) -> dict[str, Any] | None:
    try:
        return dict(function.__annotations__)
    except NameError:  # deferred (3.14): a name in them is not bound; they come again from the code
        return None


def where(live: dict[str, Any]) -> Any:
    """The globals of some code: None for the notebook's own names, a module's name, else the dict itself."""
    if live is namespace:
        return None
    name = live.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    return name if module is not None and vars(module) is live else live


def live_globals(found: Any) -> dict[str, Any]:
    """The globals that `where` told of."""
    if found is None:
        return namespace
    if isinstance(found, str):
        import importlib

        return vars(importlib.import_module(found))
    known: dict[str, Any] = found
    return known


def make_function(
    kind: str, data: Any, name: str, closure: tuple[types.CellType, ...] | None, found: Any
) -> types.FunctionType:
    """A function without its state yet; its globals are the live namespace, a module's, or a dict of its own."""
    return types.FunctionType(codes.restore(kind, data), live_globals(found), name, None, closure)


def set_function(function: types.FunctionType, state: dict[str, Any]) -> None:
    """Give a rebuilt function its state."""
    function.__defaults__ = state["defaults"]
    function.__kwdefaults__ = state["kwdefaults"]
    function.__dict__.update(state["dict"])
    if state["annotations"] is not None:
        function.__annotations__ = state["annotations"]
    function.__doc__ = state["doc"]
    function.__module__ = state["module"]
    function.__qualname__ = state["qualname"]
    if "type_params" in state:
        function.__type_params__ = state["type_params"]  # type: ignore[attr-defined]  # from 3.12


def free_names(function: types.FunctionType) -> frozenset[str]:
    """The names of the notebook that a function may read when it is called."""
    if function.__globals__ is not namespace:
        return frozenset()
    return codes.global_names(function.__code__)


def reduce_cell(cell: types.CellType) -> Reduced:
    """A closure's cell; filled after it is made, since what it holds may hold it."""
    try:
        content = (cell.cell_contents,)
    except ValueError:  # empty: read before it was bound
        return make_cell, ()
    return make_cell, (), content, None, None, set_cell


def make_cell() -> types.CellType:
    """An empty cell."""
    return types.CellType()


def set_cell(cell: types.CellType, content: tuple[Any]) -> None:
    """Fill a rebuilt cell."""
    cell.cell_contents = content[0]


def reduce_code(code: types.CodeType) -> Reduced:
    """A code object held as a value."""
    return codes.restore, codes.describe(code)


# ------------------------------------------------------------------------------------------------ classes

_MADE_BY_PYTHON = frozenset({"__dict__", "__weakref__", "__abstractmethods__", "__slotnames__", "_abc_impl"})


def is_written_in_python(cls: type) -> bool:
    """Did Python make it? Types of extension modules cannot be rebuilt from their dictionary."""
    if not cls.__flags__ & (1 << 9):  # not a heap type
        return False
    if cls.__module__ == "__main__" or next(iter(vars(cls)), "") == "__module__":
        return True
    return not any(_is_native(cls, name, value) for name, value in vars(cls).items())


def _is_native(cls: type, name: str, value: Any) -> bool:
    """Is this something that only an extension module puts into its types?"""
    if name == "__new__":
        return isinstance(value, types.BuiltinFunctionType) and value.__self__ is cls
    if isinstance(value, types.GetSetDescriptorType):
        return value.__objclass__ is cls and name not in ("__dict__", "__weakref__")
    if isinstance(value, types.MemberDescriptorType):
        return value.__objclass__ is cls and "__slots__" not in vars(cls)
    native = (types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType)
    return isinstance(value, native) and value.__objclass__ is cls


def reduce_class(cls: type, subclasses: Sequence[str]) -> Reduced:
    """What rebuilds a class: metaclass, name, bases, slots; then everything its dictionary holds.

    Args:
        subclasses: the entries of its subclasses, in their order; they are loaded with it (`reunite`).
    """
    contents = dict(vars(cls))
    slots = contents.get("__slots__")
    created = _MADE_BY_PYTHON | set(_slot_names(cls, slots))
    state: dict[str, Any] = {"dict": {k: v for k, v in contents.items() if k not in created}}
    if isinstance(cls, abc.ABCMeta):
        state["registry"] = [ref() for ref in abc._get_dump(cls)[0] if ref() is not None]  # type: ignore[attr-defined]
        state["abstract"] = getattr(cls, "__abstractmethods__", frozenset())
    state["subclasses"] = list(subclasses)
    names = tuple(itertools.takewhile(lambda name: name not in created, contents))
    args = (type(cls), cls.__name__, cls.__bases__, cls.__module__, cls.__qualname__, slots, names)
    return make_class, args, state, None, None, set_class


def _slot_names(cls: type, slots: Any) -> Iterator[str]:
    if slots is None:
        return
    for slot in [slots] if isinstance(slots, str) else slots:
        if slot.startswith("__") and not slot.endswith("__"):
            yield f"_{cls.__name__.lstrip('_')}{slot}"
        else:
            yield slot


def make_class(
    meta: type,
    name: str,
    bases: tuple[type, ...],
    module: str,
    qualname: str,
    slots: Any,
    names: tuple[str, ...],
) -> type:
    """An empty class: no ``__init_subclass__``, no metaclass code and no descriptor hook is run again."""
    contents: dict[str, Any] = dict.fromkeys(names)  # their order can be seen, in `vars(cls)`
    contents |= {"__module__": module, "__qualname__": qualname}
    if slots is not None:
        contents["__slots__"] = slots
    with _quiet_bases(bases):
        return type.__new__(meta, name, bases, contents)


@contextlib.contextmanager
def _quiet_bases(bases: tuple[type, ...]) -> Iterator[None]:
    """Nothing that a base does when it is subclassed happens meanwhile."""
    changed: list[tuple[type, Any]] = []
    for base in bases:
        for cls in base.__mro__:
            if cls.__flags__ & (1 << 9) and "__init_subclass__" in vars(cls):  # a heap type: may be changed
                changed.append((cls, vars(cls)["__init_subclass__"]))
                type.__setattr__(cls, "__init_subclass__", classmethod(_nothing))
    try:
        yield
    finally:
        for cls, hook in changed:
            type.__setattr__(cls, "__init_subclass__", hook)


def _nothing(cls: type, /, **kwargs: Any) -> None:
    return None


families: list[tuple[type, list[str]]] = []  # classes that have arrived, and the entries of their subclasses


def reunite(entry: Callable[[str], Any]) -> None:
    """Let every class that has arrived know its subclasses in their order.

    Args:
        entry: gives the object of an entry.
    """
    for cls, subclasses in families:
        arrived = [entry(sub) for sub in subclasses]
        if type.__subclasses__(cls) != arrived:
            for sub in arrived:
                sub.__bases__ = sub.__bases__  # its bases list it anew, last
    families.clear()


def set_class(cls: type, state: dict[str, Any]) -> None:
    """Give a rebuilt class its dictionary."""
    if state["subclasses"]:
        families.append((cls, state["subclasses"]))
    for name, value in state["dict"].items():
        if name not in ("__module__", "__qualname__", "__slots__"):
            type.__setattr__(cls, name, value)
    if "abstract" in state:
        abc._abc_init(cls)  # type: ignore[attr-defined]
        type.__setattr__(cls, "__abstractmethods__", state["abstract"])
        for other in state["registry"]:
            abc.ABCMeta.register(typing.cast(abc.ABCMeta, cls), other)


def reduce_member(member: enum.Enum) -> Reduced:
    """A member of a notebook's enum (a combination of flags is one too), as an object of its class."""
    cls: Any = type(member)
    data = cls._member_type_
    value = data(member) if data is not object else None
    return make_member, (cls, data, value), dict(vars(member)), None, None, set_member


def make_member(cls: type, data: type, value: Any) -> Any:
    """A member without its name and value yet."""
    return object.__new__(cls) if data is object else data.__new__(cls, value)


def set_member(member: Any, state: dict[str, Any]) -> None:
    """Name and value of a rebuilt member."""
    member.__dict__.update(state)


# --------------------------------------------------------------------------------------- their small parts


def reduce_typevar(var: Any) -> Reduced:
    """TypeVar, ParamSpec, TypeVarTuple or NewType made in the notebook."""
    if isinstance(var, typing.NewType):
        return make_new_type, (var.__name__, var.__supertype__, var.__module__)
    if isinstance(var, typing.TypeVarTuple):
        return typing.TypeVarTuple, (var.__name__,)
    options: dict[str, Any] = {
        "covariant": var.__covariant__,
        "contravariant": var.__contravariant__,
        "bound": var.__bound__,
    }
    constraints = getattr(var, "__constraints__", ())
    return make_typevar, (type(var), var.__name__, constraints, options, var.__module__)


def make_typevar(
    kind: Callable[..., Any], name: str, constraints: tuple[Any, ...], options: dict[str, Any], module: str
) -> Any:
    """The type variable again."""
    made = kind(name, *constraints, **options)
    made.__module__ = module
    return made


def make_new_type(name: str, supertype: Any, module: str) -> Any:
    """The ``typing.NewType`` again."""
    make: Callable[..., Any] = typing.NewType
    made = make(name, supertype)
    made.__module__ = module
    return made


def reduce_property(prop: property) -> Reduced:
    """A property, of its own class where it is a subclass."""
    return type(prop), (prop.fget, prop.fset, prop.fdel, prop.__doc__)


def reduce_wrapper(method: classmethod[Any, Any, Any] | staticmethod[Any, Any]) -> Reduced:
    """A class method or static method."""
    return type(method), (method.__func__,)


def reduce_method(method: types.MethodType) -> Reduced:
    """A bound method: the very function and the very object, whatever the class says now."""
    return types.MethodType, (method.__func__, method.__self__)


def reduce_module(module: types.ModuleType) -> Reduced:
    """A module by its name, or one that was made by hand, with what it holds."""
    if module is sys.modules.get("__main__"):
        return main_module, ()
    if getattr(module, "__spec__", None) is not None or getattr(module, "__file__", None) is not None:
        return import_module, (module.__name__,)
    contents = {k: v for k, v in vars(module).items() if k != "__builtins__"}
    importable = sys.modules.get(module.__name__) is module
    return make_module, (module.__name__, module.__doc__, importable), contents


def make_module(name: str, doc: str | None, importable: bool) -> types.ModuleType:
    """An empty module made by hand, which an import may find."""
    module = types.ModuleType(name, doc)
    if importable:
        sys.modules[name] = module
    return module


def main_module() -> types.ModuleType:
    """The module of the notebook's own names."""
    return sys.modules["__main__"]


def import_module(name: str) -> types.ModuleType:
    """The module of that name, imported here where it is not yet."""
    import importlib

    return importlib.import_module(name)
