"""IPython's own state: extensions, magics, aliases, options, display hooks, open figures; and what must not live on."""

from __future__ import annotations

import atexit
import contextlib
import copy
import gc
import io
import os
import re
import signal
import stat
import sys
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import modules, pickler, probes

_TOUCHED = ("get_ipython", "%", "InteractiveShell", "IPython", "register_")


@dataclass
class Session:
    """The shell's own state, as one step finds and leaves it."""

    shell: Any = None
    fresh: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    threads: frozenset[int] = frozenset()
    options: dict[str, dict[str, Any]] = field(default_factory=dict)  # those that earlier steps have set
    last: BaseException | None = None  # the last error that was shown
    descriptors: frozenset[int] = frozenset()  # open at the start, where the cells may open others
    exits: int = 0  # functions that are called when Python ends

    def begin(self, shell: Any) -> None:
        """Remember what a fresh shell looks like."""
        self.shell = shell
        self.threads = frozenset(t.ident or 0 for t in threading.enumerate())

    def apply(self, values: dict[str, Any], sources: Mapping[str, tuple[str, str | bytes]]) -> None:
        """Set what earlier steps left in the shell.

        Args:
            values: by the names of the entries.
            sources: own module -> its file, and what it held when it was imported.
        """
        for name in values.get("@ipython.extensions", ()):
            if name not in self.shell.extension_manager.loaded:
                with modules.quiet():
                    self.shell.extension_manager.load_extension(name)
        if "@ipython.autoreload" in values:
            _put_autoreload(self.shell, values["@ipython.autoreload"], sources)
        for kind, magics in values.get("@ipython.magics", {}).items():
            self.shell.magics_manager.magics[kind].update(magics)
        for name, command in values.get("@ipython.aliases", {}).items():
            self.shell.alias_manager.define_alias(name, command)
        self.options = values.get("@ipython.options", self.options)
        for key, traits in values.get("@ipython.options", {}).items():
            if key == "InlineBackend":
                _with_inline_plots(self.shell)
            configurable = self._configurables().get(key)
            for name, value in traits.items() if configurable is not None else ():
                if getattr(configurable, name) != value:
                    setattr(configurable, name, value)
        if "@ipython.errors" in values:
            self.shell.InteractiveTB.set_mode(mode=values["@ipython.errors"])
        if "@ipython.folders" in values:
            self.shell.dir_stack[:], self.shell.user_ns["_dh"][:] = values["@ipython.folders"]
        if "@ipython.futures" in values:
            self.shell.compile.flags = values["@ipython.futures"]
        for attribute, value in values.get("@ipython.hooks", {}).items():
            _put_hook(self.shell, attribute, value)
        if "@last" in values:
            self.last = values["@last"]
            _put_last(self.last)
        registry = values.get("@warned")
        if registry is not None:
            self.shell.user_ns["__warningregistry__"] = {**registry, "version": _filters_version()}
        for number, manager in values.get("@figures", {}).items():
            _show_again(number, manager)

    def take_baseline(self, text: str) -> None:
        """Remember the shell that the step starts from, to run this."""
        self.before = self._state()
        self.before["@ipython.options"] = self._options()
        self.exits = atexit._ncallbacks()
        self.descriptors = _open_descriptors() if _DESCRIPTORS.search(text) else frozenset()

    def changed(self, text: str) -> dict[str, Any]:
        """What the step left otherwise than it found it."""
        now = self._state()
        if any(word in text for word in _TOUCHED):
            now["@ipython.options"] = self._options()
        found = {name: value for name, value in now.items() if value != self.before.get(name)}
        last = getattr(sys, "last_value", None)
        if last is not None and last is not self.last and pickler.can_travel(last):
            found["@last"] = last
        if "@figures" in self.before and "@figures" not in now:  # all are closed
            found["@figures"] = {}
        if "@ipython.options" in found:
            found["@ipython.options"] = self._set_options(found["@ipython.options"])
        if any(word in text for word in _FIGURE_FORMATS) and (formats := _figure_formats(self.shell)):
            options = found.setdefault("@ipython.options", self._set_options({}))
            options["InlineBackend"] = {**options.get("InlineBackend", {}), "figure_formats": formats}
        return found

    def _set_options(self, now: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """The options that this step has set, on top of those that earlier ones did."""
        before = self.before["@ipython.options"]
        found = {key: dict(traits) for key, traits in self.options.items()}
        for key, traits in now.items():
            was = before.get(key, {})
            changed = {name: value for name, value in traits.items() if name not in was or was[name] != value}
            found.setdefault(key, {}).update(changed)
        return found

    def _state(self) -> dict[str, Any]:
        shell = self.shell
        state: dict[str, Any] = {
            "@ipython.extensions": sorted(shell.extension_manager.loaded),
            "@ipython.magics": _own_magics(shell),
            "@ipython.aliases": dict(shell.alias_manager.aliases),
            "@ipython.hooks": _hooks(shell),
            "@ipython.futures": shell.compile.flags,
            "@ipython.errors": shell.InteractiveTB.mode,
            "@ipython.folders": (list(shell.dir_stack), list(shell.user_ns.get("_dh", ()))),
        }
        if self.reloads():
            state["@ipython.autoreload"] = _autoreload(shell)
        registry = shell.user_ns.get("__warningregistry__")
        if registry:
            state["@warned"] = {k: v for k, v in registry.items() if k != "version"}
        figures = _figures()
        if figures:
            state["@figures"] = figures
        return state

    def reloads(self) -> bool:
        """May cells begin with other versions of the user's own modules than the last one ended with?"""
        return "AutoreloadMagics" in self.shell.magics_manager.registry

    def reloaded(self) -> set[str]:
        """The own modules that ``%autoreload`` has brought up to date."""
        if not self.reloads():
            return set()
        times = _autoreload(self.shell)["modules_mtimes"]
        return {name for name, module in modules.own_modules() if times.get(name) == _time_of(module)}

    def _configurables(self) -> dict[str, Any]:
        formatter = self.shell.display_formatter
        found = {type(c).__name__: c for c in self.shell.configurables}
        return {**found, "formatter": formatter, "text formatter": formatter.formatters["text/plain"]}

    def _options(self) -> dict[str, dict[str, Any]]:
        simple = (str, int, float, bool, type(None), list, tuple, set, dict)
        found: dict[str, dict[str, Any]] = {}
        for key, configurable in self._configurables().items():
            traits = {}
            for name in configurable.trait_names(config=True):
                value = getattr(configurable, name, None)
                if isinstance(value, simple) and type(value) in simple:
                    traits[name] = value.copy() if isinstance(value, list | set | dict) else value
            found[key] = traits
        return found


_MODES = ("enabled", "check_all", "autoload_obj", "modules", "skip_modules")


def _autoreload(shell: Any) -> dict[str, Any]:
    """What ``%autoreload`` and ``%aimport`` have asked for, and which versions of own modules are there."""
    reloader = shell.magics_manager.registry["AutoreloadMagics"]._reloader
    found = {mode: copy.copy(getattr(reloader, mode)) for mode in _MODES}
    own = {name for name, _ in modules.own_modules()}
    return {**found, "modules_mtimes": {n: t for n, t in reloader.modules_mtimes.items() if n in own}}


def _put_last(error: BaseException) -> None:
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error


def _time_of(module: Any) -> float | None:
    try:
        return os.stat(module.__file__).st_mtime
    except OSError:
        return None


def _put_autoreload(
    shell: Any, state: dict[str, Any], sources: Mapping[str, tuple[str, str | bytes]]
) -> None:
    reloader = shell.magics_manager.registry["AutoreloadMagics"]._reloader
    for mode in _MODES:
        setattr(reloader, mode, state[mode])
    reloader.modules_mtimes.update(state["modules_mtimes"])
    seen = getattr(getattr(reloader, "deduper_reloader", None), "source_by_modname", {})
    for name, (_, source) in sources.items():  # what it compares the files with
        if isinstance(source, str):
            seen[name] = source
        else:
            seen.pop(name, None)


_FIGURE_FORMATS = ("set_matplotlib_formats", "select_figure_formats")
_FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "image/svg+xml": "svg", "application/pdf": "pdf"}


def _figure_formats(shell: Any) -> set[str]:
    """The formats that figures are shown in, where a call has set them past the option."""
    module = sys.modules.get("matplotlib.figure")
    found = set()
    for mime, name in _FORMATS.items():
        formatter = shell.display_formatter.formatters.get(mime)
        printer = getattr(formatter, "type_printers", {}).get(module.Figure) if module else None
        if printer is not None:
            function = getattr(printer, "func", printer)
            found.add("retina" if function.__name__ == "retina_figure" else name)
    return found


def _with_inline_plots(shell: Any) -> None:
    """What the first plot of a notebook makes, so that its options can be set."""
    from matplotlib_inline.config import InlineBackend

    inline = InlineBackend.instance(parent=shell)
    if inline not in shell.configurables:
        inline.shell = shell
        shell.configurables.append(inline)


def _own_magics(shell: Any) -> dict[str, dict[str, Any]]:
    """Magics that cells have defined (those of extensions come back with the extension)."""
    found: dict[str, dict[str, Any]] = {}
    for kind, magics in shell.magics_manager.magics.items():
        mine = {
            n: f
            for n, f in magics.items()
            if getattr(getattr(f, "__func__", f), "__module__", None) == "__main__"
        }
        if mine:
            found[kind] = mine
    return found


def _hooks(shell: Any) -> dict[str, Any]:
    """Callbacks, transformers and printers that cells have registered."""
    found: dict[str, Any] = {}
    events = {
        name: [f for f in callbacks if _is_cells(f)] for name, callbacks in shell.events.callbacks.items()
    }
    for name, callbacks in events.items():
        if callbacks:
            found[f"event {name}"] = callbacks
    for attribute in ("input_transformers_cleanup", "input_transformers_post", "ast_transformers"):
        mine = [t for t in getattr(shell, attribute) if _is_cells(t)]
        if mine:
            found[f"list {attribute}"] = mine
    for mime, formatter in shell.display_formatter.formatters.items():
        printers = {k: f for k, f in getattr(formatter, "type_printers", {}).items() if _is_cells(f)}
        if printers:
            found[f"printer {mime}"] = printers
    handlers = getattr(shell, "custom_exceptions", ())
    if handlers:
        found["exceptions"] = (handlers, shell.CustomTB)
    return found


def _is_cells(hook: Any) -> bool:
    return (
        getattr(hook, "__module__", None) == "__main__"
        or getattr(type(hook), "__module__", None) == "__main__"
    )


def _put_hook(shell: Any, attribute: str, value: Any) -> None:
    kind, _, name = attribute.partition(" ")
    if kind == "event":
        for callback in value:
            shell.events.register(name, callback)
    elif kind == "list":
        getattr(shell, name).extend(value)
    elif kind == "printer":
        shell.display_formatter.formatters[name].type_printers.update(value)
    else:
        handlers, traceback = value
        shell.custom_exceptions, shell.CustomTB = handlers, traceback


def _filters_version() -> int:
    """The number that Python compares a warning registry's ``version`` with."""
    registry: dict[Any, Any] = {}
    shown, warnings.showwarning = warnings.showwarning, lambda *args, **kwargs: None
    try:
        warnings.warn_explicit("version", UserWarning, "nbvertex", 1, registry=registry)
    except UserWarning:
        pass  # the notebook turns warnings into errors; the registry has its number all the same
    finally:
        warnings.showwarning = shown
    return int(registry.get("version", 0))


def _figures() -> dict[int, Any]:
    pylab = sys.modules.get("matplotlib._pylab_helpers")
    if pylab is None:
        return {}
    return {number: manager.canvas.figure for number, manager in pylab.Gcf.figs.items()}


def _show_again(number: int, figure: Any) -> None:
    """Make a figure that another step left open the figure of that number here."""
    import matplotlib.pyplot as plt  # type: ignore[import-untyped, unused-ignore]

    backend = plt._get_backend_mod()
    manager = backend.new_figure_manager_given_figure(number, figure)
    from matplotlib._pylab_helpers import Gcf  # type: ignore[import-untyped, unused-ignore]

    Gcf._set_new_active_manager(manager)
    show: Any = getattr(backend, "show", None)
    if hasattr(show, "_draw_called"):  # it has been shown, as far as it was to be
        show._to_draw, show._draw_called = [], False


def lives_on(session: Session) -> list[tuple[str, str, str]]:
    """Threads, child processes and tasks that would outlive the step: what, which, and the mend."""
    found = [("a pending asyncio task", name, "await it before the step ends") for name in _pending_tasks()]
    loops = [getattr(m, "event_loop", None) for m in session.shell.magics_manager.registry.values()]
    for thread in threading.enumerate():
        if thread.ident in session.threads or thread is threading.current_thread() or _is_harmless(thread):
            continue
        runs = getattr(getattr(thread, "_target", None), "__self__", None)
        if runs is not None and runs in loops:  # where IPython's %%bash waits for its programs
            continue
        found.append(("a running thread", thread.name, "join it before the step ends"))
    for pid in _children():
        found.append(("a running child process", str(pid), "wait for it, or stop it, before the step ends"))
    return found


def forbidden(session: Session, text: str) -> list[tuple[str, str, str]]:
    """What cells have asked Python to do later, which no later step can do for them: what, which, and the mend."""
    found = []
    for name, asked in (("sys.settrace", sys.gettrace()), ("sys.setprofile", sys.getprofile())):
        if getattr(asked, "__module__", None) == "__main__":
            found.append(("a function that sees every call", name, f"{name}(None) before the step ends"))
    if not probes.working_folder():
        found.append(
            (
                "a working folder that was removed",
                "os.getcwd()",
                "go to another one (os.chdir) before the step ends",
            )
        )
    if "addaudithook" in text:
        found.append(
            ("a function that hears every event", "sys.addaudithook", "add it in the step that needs it")
        )
    if ("alarm" in text or "itimer" in text) and signal.getitimer(signal.ITIMER_REAL)[0]:
        found.append(
            ("a pending alarm", "signal.alarm", "take it back (signal.alarm(0)) before the step ends")
        )
    if _DESCRIPTORS.search(text):
        hint = "close it before the step ends, or use open()"
        found += [
            ("an open file descriptor", str(number), hint) for number in _descriptors(session.descriptors)
        ]
    if has_exits(session, text):
        found.append(("a function to be called at the end", "atexit", "call it in the last step"))
    return found


_DESCRIPTORS = re.compile(r"\bos\.(open|pipe2?|dup2?|memfd_create|openpty|eventfd)\b|\bfrom os import\b")


def _descriptors(before: frozenset[int]) -> list[int]:
    """The descriptors that were opened since, and that no file object holds."""
    files = (obj for obj in gc.get_objects() if isinstance(obj, io.FileIO) and not obj.closed)
    held = {file.fileno() for file in files}
    return sorted(_open_descriptors() - before - held)


def _open_descriptors() -> frozenset[int]:
    """Those of files and pipes."""
    found = set()
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with contextlib.suppress(OSError):
            mode = os.fstat(int(name)).st_mode
            if stat.S_ISREG(mode) or stat.S_ISFIFO(mode):
                found.add(int(name))
    return frozenset(found)


def has_exits(session: Session, text: str) -> bool:
    """Have cells registered functions that are called when Python ends?"""
    return "atexit" in text and atexit._ncallbacks() > session.exits


def _pending_tasks() -> list[str]:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loop = asyncio.get_event_loop()
        except RuntimeError:  # no cell has run in one
            return []
    return sorted(task.get_name() for task in asyncio.all_tasks(loop) if not task.done())


def _is_harmless(thread: threading.Thread) -> bool:
    kind = f"{type(thread).__module__}.{type(thread).__qualname__}"
    if kind.startswith(("tqdm.", "IPython.", "ipykernel.", "zmq.")):
        return True
    return thread.daemon and thread.name.startswith(
        ("ThreadPoolExecutor", "asyncio_", "pymongo", "grpc", "loky", "ExecutorManager", "QueueFeeder")
    )


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            pids = [int(pid) for pid in file.read().split()]
    except (OSError, ValueError):
        return []
    alive = []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                if file.read().rpartition(")")[2].split()[0] != "Z":
                    alive.append(pid)
        except OSError:  # it has just ended
            continue
    return alive
