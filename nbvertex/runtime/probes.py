"""State of Python and of libraries that no name holds: how each piece is read and set."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from os import chdir, getcwd  # bound here: cells may put something else in their place
from typing import Any

from . import chance, replaced


@dataclass(frozen=True)
class Probe:
    """One piece of state: how to read it and how to set it.

    Args:
        name: its entry's name, with the ``@``.
        module: only where this module has been imported.
        get: reads a value that can be compared and kept.
        put: sets it.
        fresh: says of a value read just after the import whether nothing has been done to it yet.
        idle: says of a value that no earlier step has set, and of the one now, whether the difference tells nothing.
    """

    name: str
    module: str
    get: Callable[[], Any]
    put: Callable[[Any], None]
    fresh: Callable[[Any, str], bool] | None = None
    idle: Callable[[Any, Any, str], bool] | None = None


# ------------------------------------------------------------------------------------------- random numbers


def words(*words: str) -> Callable[[Any, str], bool]:
    """Nothing was done yet where none of these words stands in the cells."""
    return lambda value, text: not any(word in text for word in words)


def _fresh_numpy(state: Any, text: str) -> bool:
    # Left to itself, NumPy begins at 623 with what the system gave; after seed(n) it stands at 624.
    return bool(state[2] == 623 and state[3] == 0) and "set_state" not in text


def _torch_get() -> Any:
    torch = sys.modules["torch"]
    state = torch.get_rng_state().numpy().tobytes()
    flags = (
        str(torch.get_default_dtype()),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
    )
    return state, flags


def _torch_put(value: Any) -> None:
    torch = sys.modules["torch"]
    state, (dtype, grad, deterministic) = value
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
    torch.set_default_dtype(getattr(torch, dtype.removeprefix("torch.")))
    torch.set_grad_enabled(grad)
    torch.use_deterministic_algorithms(deterministic)


# ------------------------------------------------------------------------------------------ library options


def _pandas_options() -> dict[str, Any]:
    from pandas._config import config  # type: ignore[import-untyped, unused-ignore]

    found: dict[str, Any] = {}

    def walk(tree: dict[str, Any], prefix: str) -> None:
        for key, value in tree.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            else:
                found[f"{prefix}{key}"] = value

    walk(config._global_config, "")
    return found


def _set_pandas_options(options: dict[str, Any]) -> None:
    import pandas  # type: ignore[import-untyped, unused-ignore]

    now = _pandas_options()
    for name, value in options.items():
        if name in now and now[name] is not value and now[name] != value:
            pandas.set_option(name, value)


def _numpy_options() -> Any:
    numpy = sys.modules["numpy"]
    options = dict(numpy.get_printoptions())
    return options, numpy.geterr(), numpy.getbufsize(), numpy.geterrcall()


def _set_numpy_options(value: Any) -> None:
    numpy = sys.modules["numpy"]
    options, errors, size, call = value
    numpy.set_printoptions(**{k: v for k, v in options.items() if k != "override_repr" or v is not None})
    numpy.seterr(**errors)
    if numpy.getbufsize() != size:
        numpy.setbufsize(size)
    if call is not None:
        numpy.seterrcall(call)


def _rc_params() -> dict[str, Any]:
    return dict.copy(sys.modules["matplotlib"].rcParams)


def _fresh_rc_params(params: dict[str, Any], text: str) -> bool:
    as_found = sys.modules["matplotlib"].rcParamsOrig
    own = ("backend", "interactive")  # what importing pyplot in a notebook decides
    return all(dict.get(as_found, k) == v for k, v in params.items() if not k.startswith(own))


def _set_rc_params(params: dict[str, Any]) -> None:
    dict.update(sys.modules["matplotlib"].rcParams, params)


def _backend_get() -> str | None:
    found = dict.get(sys.modules["matplotlib"].rcParams, "backend")
    return found if isinstance(found, str) else None  # not decided yet


def _backend_put(backend: str | None) -> None:
    if backend is not None and backend != _backend_get():
        sys.modules["matplotlib"].use(backend)


def _decimal_get() -> Any:
    c = current_context()
    traps = sorted(signal.__name__ for signal, on in c.traps.items() if on)
    flags = sorted(signal.__name__ for signal, on in c.flags.items() if on)
    return c.prec, c.rounding, c.Emin, c.Emax, c.capitals, c.clamp, flags, traps


def _decimal_put(value: Any) -> None:
    decimal = sys.modules["decimal"]
    *numbers, flags, traps = value
    names = [{getattr(decimal, n) for n in group} for group in (flags, traps)]
    context = current_context()  # the very object: a name may hold it
    for option, number in zip(_DECIMAL_OPTIONS, numbers, strict=True):
        setattr(context, option, number)
    for signals, on in zip((context.flags, context.traps), names, strict=True):
        for signal in signals:
            signals[signal] = signal in on


_DECIMAL_OPTIONS = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
_decimal_context: list[Any] = []  # the current one, as last seen


def current_context() -> Any:
    """The decimal context of this process."""
    import decimal

    _decimal_context[:] = [decimal.getcontext()]
    return _decimal_context[0]


def is_current(context: Any) -> bool:
    """Is it the decimal context that is in force?"""
    return bool(_decimal_context) and _decimal_context[0] is context


# ---------------------------------------------------------------------------------------- Python's own state


def _warnings_get() -> Any:
    return list(sys.modules["warnings"].filters), dict(sys.modules["warnings"].onceregistry)


def _warnings_put(value: Any) -> None:
    warnings = sys.modules["warnings"]
    filters, once = value
    warnings.filters[:] = filters
    mutated = getattr(warnings, "_filters_mutated", None) or warnings._filters_mutated_lock_held  # from 3.14
    mutated()
    warnings.onceregistry.update(once)


def _logging_get() -> Any:
    logging = sys.modules["logging"]
    found = {}
    for name, logger in [("root", logging.root), *logging.root.manager.loggerDict.items()]:
        if hasattr(logger, "level"):
            handlers = _without_repeated(logger.handlers, logging.NullHandler)
            state = (logger.level, logger.disabled, logger.propagate, handlers, list(logger.filters))
            if state != (0, False, True, [], []):
                found[name] = state
    return found, logging.root.manager.disable


def _without_repeated(handlers: list[Any], idle: type) -> list[Any]:
    """A library that is imported anew in a step adds its idle handler once more."""
    first = next((h for h in handlers if type(h) is idle), None)
    return [h for h in handlers if type(h) is not idle or h is first]


def _logging_put(value: Any) -> None:
    logging = sys.modules["logging"]
    states, disable = value
    for name, (level, disabled, propagate, handlers, filters) in states.items():
        logger = logging.root if name == "root" else logging.getLogger(name)
        logger.setLevel(level)
        logger.disabled, logger.propagate = disabled, propagate
        logger.handlers[:], logger.filters[:] = handlers, filters
    logging.disable(disable)


def _interpreter_get() -> Any:
    import gc

    collector = gc.isenabled(), gc.get_threshold()
    return sys.getrecursionlimit(), sys.get_int_max_str_digits(), collector, sys.dont_write_bytecode


def _interpreter_put(value: Any) -> None:
    import gc

    limit, digits, collecting, bytecode = value
    sys.setrecursionlimit(limit)
    sys.set_int_max_str_digits(digits)
    (gc.enable if collecting[0] else gc.disable)()
    gc.set_threshold(*collecting[1])
    sys.dont_write_bytecode = bytecode


def _argv_get() -> list[str]:
    return list(sys.argv)


def _argv_put(arguments: list[str]) -> None:
    sys.argv[:] = arguments


def _start_method_get() -> str | None:
    found: str | None = sys.modules["multiprocessing"].get_start_method(allow_none=True)
    return found


def _start_method_put(method: str | None) -> None:
    sys.modules["multiprocessing"].set_start_method(method, force=True)


def _umask_get() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _umask_put(mask: int) -> None:
    os.umask(mask)


def _signals_get() -> dict[int, Any]:
    import signal

    return {
        int(s): handler
        for s in signal.valid_signals()
        if (handler := signal.getsignal(s)) is not None and callable(handler)
    }


def _signals_put(handlers: dict[int, Any]) -> None:
    import signal

    for number, handler in handlers.items():
        with contextlib.suppress(OSError, ValueError):  # not every signal may be handled
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _locale_get() -> str:
    locale = sys.modules["locale"]
    return str(locale.setlocale(locale.LC_ALL))


def _locale_put(value: str) -> None:
    locale = sys.modules["locale"]
    locale.setlocale(locale.LC_ALL, value)


def _builtins_get() -> dict[str, Any]:
    """What cells have put there; extension modules keep their own things (capsules) in it."""
    import builtins

    return {
        k: v
        for k, v in vars(builtins).items()
        if replaced.of_builtins.get(k, _NOTHING) is not v and type(v).__name__ != "PyCapsule"
    }


def _builtins_put(added: dict[str, Any]) -> None:
    import builtins

    vars(builtins).update(added)


_NOTHING = object()


def working_folder() -> str:
    """Where we are; empty where that folder has been removed."""
    try:
        return getcwd()
    except FileNotFoundError:
        return ""


def _attribute(module: str, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    def get() -> Any:
        return getattr(sys.modules[module], name)

    def put(value: Any) -> None:
        setattr(sys.modules[module], name, value)

    return get, put


def _given(module: str, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """A function that gives the value, and sets it where it is given one."""

    def get() -> Any:
        return getattr(sys.modules[module], name)()

    def put(value: Any) -> None:
        getattr(sys.modules[module], name)(value)

    return get, put


def _calls(module: str, getter: str, setter: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    def get() -> Any:
        return getattr(sys.modules[module], getter)()

    def put(value: Any) -> None:
        getattr(sys.modules[module], setter)(value)

    return get, put


def _units_get() -> Any:
    return dict(sys.modules["matplotlib.units"].registry)


def _units_put(converters: dict[Any, Any]) -> None:
    sys.modules["matplotlib.units"].registry.update(converters)


def _fresh_units(converters: dict[Any, Any], text: str) -> bool:
    return not any(type(one).__module__.startswith("pandas") for one in converters.values())


PROBES: tuple[Probe, ...] = (
    Probe("@cwd", "os", working_folder, chdir),
    Probe("@random", "random", *_calls("random", "getstate", "setstate"), idle=chance.only_drew),
    Probe("@numpy.random", "numpy.random", *_calls("numpy.random", "get_state", "set_state"), _fresh_numpy),
    Probe("@torch", "torch", _torch_get, _torch_put, words("seed", "torch")),
    Probe("@pandas.options", "pandas", _pandas_options, _set_pandas_options, words("option")),
    Probe(
        "@numpy.options",
        "numpy",
        _numpy_options,
        _set_numpy_options,
        words("printoptions", "seterr", "bufsize"),
    ),
    Probe("@matplotlib.rcParams", "matplotlib", _rc_params, _set_rc_params, _fresh_rc_params),
    Probe(
        "@matplotlib.backend",
        "matplotlib",
        _backend_get,
        _backend_put,
        words("backend", "use(", "%matplotlib"),
    ),
    Probe("@decimal", "decimal", _decimal_get, _decimal_put, words("decimal", "context")),
    Probe("@matplotlib.units", "matplotlib.units", _units_get, _units_put, _fresh_units),
    Probe("@csv", "csv", *_given("csv", "field_size_limit"), words("field_size_limit")),
    Probe("@showwarning", "warnings", *_attribute("warnings", "showwarning")),
    Probe("@warnings", "warnings", _warnings_get, _warnings_put),
    Probe("@logging", "logging", _logging_get, _logging_put),
    Probe("@interpreter", "sys", _interpreter_get, _interpreter_put),
    Probe("@argv", "sys", _argv_get, _argv_put),
    Probe("@multiprocessing", "multiprocessing", _start_method_get, _start_method_put, words("start_method")),
    Probe("@umask", "os", _umask_get, _umask_put),
    Probe("@signals", "signal", _signals_get, _signals_put),
    Probe("@locale", "locale", _locale_get, _locale_put, words("locale")),
    Probe("@builtins", "builtins", _builtins_get, _builtins_put),
    Probe("@tempdir", "tempfile", *_attribute("tempfile", "tempdir"), words("tempdir")),
    Probe("@socket.timeout", "socket", *_calls("socket", "getdefaulttimeout", "setdefaulttimeout")),
)
