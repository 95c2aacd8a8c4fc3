"""State outside the names: working folder, environment, random generators, options, modules' attributes, IPython's."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import modules, session


@dataclass(frozen=True)
class Probe:
    """One piece of state: how to read it and how to set it.

    Args:
        name: its entry's name, with the ``@``.
        module: only where this module has been imported.
        get: reads a value that can be compared and kept.
        put: sets it.
        fresh: says of a value read just after the import whether nothing has been done to it yet.
    """

    name: str
    module: str
    get: Callable[[], Any]
    put: Callable[[Any], None]
    fresh: Callable[[Any, str], bool] | None = None


FIRST = ("@cwd", "@environ", "@path", "@modules")  # before anything is imported for a value, in this order


@dataclass
class Outside:
    """The state outside the names, as one step finds and leaves it."""

    before: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    modules: modules.Modules = field(default_factory=modules.Modules)
    session: session.Session = field(default_factory=session.Session)

    def begin(self, shell: Any) -> None:
        """Remember what a fresh process looks like."""
        self.environ = dict(os.environ)
        self.path = list(sys.path)
        self.session.begin(shell)

    def apply(self, values: dict[str, Any]) -> None:
        """Set the state that earlier steps left."""
        probes = {probe.name: probe for probe in PROBES}
        for name, value in values.items():
            if name == "@environ":
                _set_environ(value, self.environ)
            elif name == "@path":
                sys.path[:] = [*value[0], *self.path, *value[1]] if value[2] is None else value[2]
            elif name in probes:
                if probes[name].module in sys.modules or _import_quietly(probes[name].module):
                    probes[name].put(value)
        self.modules.apply(values)
        self.session.apply(values)

    def take_baseline(self) -> None:
        """Remember the state that the step starts from."""
        self.before = {p.name: p.get() for p in PROBES if p.module in sys.modules}
        self.before["@environ"] = dict(os.environ)
        self.before["@path"] = list(sys.path)
        self.modules.take_baseline()
        self.session.take_baseline()

    def changed(self, sources: list[str], heap: Any) -> dict[str, Any]:
        """What the step left otherwise than it found it, by entry name."""
        text = "\n".join(sources)
        found: dict[str, Any] = {}
        for probe in PROBES:
            if probe.module in sys.modules:
                now = probe.get()
                if self._is_news(probe, now, text):
                    found[probe.name] = now
        if dict(os.environ) != self.before["@environ"]:
            found["@environ"] = _environ_difference(self.environ)
        if list(sys.path) != self.before["@path"]:
            found["@path"] = _path_difference(self.path)
        found.update(self.modules.changed(sources, heap.shell.user_ns))
        found.update(self.session.changed(text))
        return found

    def _is_news(self, probe: Probe, now: Any, text: str) -> bool:
        if probe.name in self.before:
            return not _same(now, self.before[probe.name])
        return probe.fresh is None or not probe.fresh(now, text)


def _same(a: Any, b: Any) -> bool:
    """Equality that also serves tuples and dicts with arrays in them."""
    if a is b or type(a) is not type(b):
        return a is b
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(v, b[k]) for k, v in a.items())
    if type(a).__name__ == "ndarray":
        return bool(a.tobytes() == b.tobytes() and a.shape == b.shape)
    return bool(a == b)


def _import_quietly(name: str) -> bool:
    with modules.quiet():
        try:
            __import__(name)
        except ImportError:
            return False
    return True


# ---------------------------------------------------------------------------------------- folder, environment


def _environ_difference(base: dict[str, str]) -> dict[str, str | None]:
    now = dict(os.environ)
    changed: dict[str, str | None] = {k: v for k, v in now.items() if base.get(k) != v}
    changed.update({k: None for k in base if k not in now})
    return dict(sorted(changed.items()))


def _set_environ(difference: dict[str, str | None], base: dict[str, str]) -> None:
    for name, value in difference.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _path_difference(base: list[str]) -> tuple[list[str], list[str], list[str] | None]:
    now = list(sys.path)
    for at in range(len(now) - len(base) + 1):
        if now[at : at + len(base)] == base:
            return now[:at], now[at + len(base) :], None
    return [], [], now


# ------------------------------------------------------------------------------------------- random numbers


def _words(*words: str) -> Callable[[Any, str], bool]:
    """Nothing was done yet where none of these words stands in the cells."""
    return lambda value, text: not any(word in text for word in words)


def _fresh_numpy(state: Any, text: str) -> bool:
    # Left to itself, NumPy begins at 623 with what the system gave; after seed(n) it stands at 624.
    return bool(state[2] == 623 and state[3] == 0) and "set_state" not in text


def _numpy_random() -> Any:
    return sys.modules["numpy.random"].get_state()


def _torch_get() -> Any:
    torch = sys.modules["torch"]
    state = torch.get_rng_state().numpy().tobytes()
    flags = (str(torch.get_default_dtype()), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled())
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


def _set_rc_params(params: dict[str, Any]) -> None:
    dict.update(sys.modules["matplotlib"].rcParams, params)


def _decimal_get() -> Any:
    decimal = sys.modules["decimal"]
    c = decimal.getcontext()
    traps = sorted(signal.__name__ for signal, on in c.traps.items() if on)
    flags = sorted(signal.__name__ for signal, on in c.flags.items() if on)
    return c.prec, c.rounding, c.Emin, c.Emax, c.capitals, c.clamp, flags, traps


def _decimal_put(value: Any) -> None:
    decimal = sys.modules["decimal"]
    *numbers, flags, traps = value
    names = [[getattr(decimal, n) for n in group] for group in (flags, traps)]
    decimal.setcontext(decimal.Context(*numbers, *names))


# ---------------------------------------------------------------------------------------- Python's own state


def _warnings_get() -> Any:
    return list(sys.modules["warnings"].filters), dict(sys.modules["warnings"].onceregistry)


def _warnings_put(value: Any) -> None:
    warnings = sys.modules["warnings"]
    filters, once = value
    warnings.filters[:] = filters
    warnings._filters_mutated() if hasattr(warnings, "_filters_mutated") else warnings._filters_mutated_lock_held()
    warnings.onceregistry.update(once)


def _logging_get() -> Any:
    logging = sys.modules["logging"]
    found = {}
    for name, logger in [("root", logging.root), *logging.root.manager.loggerDict.items()]:
        if hasattr(logger, "level"):
            state = (logger.level, logger.disabled, getattr(logger, "propagate", True), list(logger.handlers), list(logger.filters))
            if state[0] or state[1] or not state[2] or state[3] or state[4]:
                found[name] = state
    return found, logging.root.manager.disable


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

    return sys.getrecursionlimit(), sys.get_int_max_str_digits(), gc.isenabled(), sys.dont_write_bytecode


def _interpreter_put(value: Any) -> None:
    import gc

    limit, digits, collecting, bytecode = value
    sys.setrecursionlimit(limit)
    sys.set_int_max_str_digits(digits)
    (gc.enable if collecting else gc.disable)()
    sys.dont_write_bytecode = bytecode


def _umask_get() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _signals_get() -> dict[int, Any]:
    import signal

    return {int(s): handler for s in signal.valid_signals() if (handler := signal.getsignal(s)) is not None and callable(handler)}


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
    import builtins

    return {k: v for k, v in vars(builtins).items() if k not in _builtin_names}


def _builtins_put(added: dict[str, Any]) -> None:
    import builtins

    vars(builtins).update(added)


_builtin_names: set[str] = set()


def note_builtins() -> None:
    """Call once in the warm process, when IPython has put its own names there."""
    import builtins

    _builtin_names.update(vars(builtins))


def _attribute(module: str, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    def get() -> Any:
        return getattr(sys.modules[module], name)

    def put(value: Any) -> None:
        setattr(sys.modules[module], name, value)

    return get, put


PROBES: tuple[Probe, ...] = (
    Probe("@cwd", "os", os.getcwd, os.chdir),
    Probe("@random", "random", lambda: sys.modules["random"].getstate(), lambda s: sys.modules["random"].setstate(s)),
    Probe("@numpy.random", "numpy.random", _numpy_random, lambda s: sys.modules["numpy.random"].set_state(s), _fresh_numpy),
    Probe("@torch", "torch", _torch_get, _torch_put, _words("seed", "torch")),
    Probe("@pandas.options", "pandas", _pandas_options, _set_pandas_options, _words("option", "pd.")),
    Probe("@numpy.options", "numpy", _numpy_options, _set_numpy_options, _words("options", "seterr", "bufsize")),
    Probe("@matplotlib.rcParams", "matplotlib", _rc_params, _set_rc_params),
    Probe("@decimal", "decimal", _decimal_get, _decimal_put, _words("decimal", "context")),
    Probe("@warnings", "warnings", _warnings_get, _warnings_put),
    Probe("@logging", "logging", _logging_get, _logging_put),
    Probe("@interpreter", "sys", _interpreter_get, _interpreter_put),
    Probe("@umask", "os", _umask_get, lambda mask: os.umask(mask) and None),
    Probe("@signals", "signal", _signals_get, _signals_put),
    Probe("@locale", "locale", _locale_get, _locale_put, _words("locale")),
    Probe("@builtins", "builtins", _builtins_get, _builtins_put),
    Probe("@tempdir", "tempfile", *_attribute("tempfile", "tempdir"), _words("tempdir")),
    Probe("@socket.timeout", "socket", lambda: sys.modules["socket"].getdefaulttimeout(), lambda t: sys.modules["socket"].setdefaulttimeout(t)),
)
