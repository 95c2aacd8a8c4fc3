"""The IPython in which the cells of a step run: it answers as a notebook kernel's does."""

# IPython's own annotations come and go between its versions:
# mypy: disable-error-code="no-untyped-call,union-attr,attr-defined,unused-ignore"
from __future__ import annotations

import asyncio
import base64
import contextlib
import math
import numbers
import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from IPython.core.autocall import ZMQExitAutocall
from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import StdinNotImplementedError, UsageError
from IPython.core.interactiveshell import InteractiveShell, InteractiveShellABC
from traitlets import Any as AnyTrait
from traitlets import Instance, Type, default
from traitlets.config import Config

from . import kernel, terminal
from .kernel_magics import KernelMagics
from .names import cell_name

Send = Callable[[dict[str, Any]], None]

_LONGEST_TEXT = 1_000_000  # of an error's message
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Displays(DisplayPublisher):
    """Sends what cells display as frames."""

    send = AnyTrait()

    def publish(  # type: ignore[override]
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **kwargs: Any,
    ) -> None:
        self._validate_data(data, metadata)
        if self.send is not None:
            self.send(
                {
                    "kind": "update" if update else "display",
                    "data": plain(data),
                    "metadata": plain(metadata or {}),
                    "display_id": (transient or {}).get("display_id"),
                }
            )

    def clear_output(self, wait: bool = False) -> None:
        if self.send is not None:
            self.send({"kind": "clear", "wait": bool(wait)})


class Results(DisplayHook):
    """Sends the value of a cell's last expression as a frame."""

    send = AnyTrait()
    _result: dict[str, Any] | None = None

    def start_displayhook(self) -> None:
        self._result = {}

    def is_active(self) -> bool:
        """Whether the last value of a cell is being shown."""
        return self._result is not None

    def write_output_prompt(self) -> None:
        if self._result is not None:
            self._result["count"] = self.prompt_count

    def write_format_data(self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None) -> None:
        if self._result is not None:
            self._result["data"] = plain(format_dict)
            self._result["metadata"] = plain(md_dict or {})

    def finish_displayhook(self) -> None:
        result, self._result = self._result, None
        if result and result.get("data") and self.send is not None:
            self.send({"kind": "result", **result})


class Compiler(CachingCompiler):
    """Names a cell's code as a kernel does, but the same in every process and on every machine."""

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        return cell_name(raw_code)


class ZMQInteractiveShell(InteractiveShell):
    """IPython without a terminal; libraries know a notebook kernel by this class's name."""

    __module__ = "ipykernel.zmqshell"

    displayhook_class = Type(Results)
    display_pub_class = Type(Displays)
    compiler_class = Type(Compiler)
    exiter = Instance(ZMQExitAutocall)
    keepkernel_on_exit = None
    kernel = AnyTrait()
    send: Send | None = None  # where errors go
    unshown: BaseException | None = None  # what went wrong as the cell's last value was to be shown

    @default("exiter")
    def _default_exiter(self) -> ZMQExitAutocall:
        return ZMQExitAutocall(self)

    def init_environment(self) -> None:
        kernel.set_environment()

    def init_virtualenv(self) -> None:
        """A kernel lives in its environment already."""

    def init_hooks(self) -> None:
        super().init_hooks()
        # `name?` opens a pager, which a notebook that runs unattended does not show
        self.set_hook("show_in_pager", lambda *args, **kwargs: None, 99)

    def enable_gui(self, gui: Any = None) -> None:
        if gui not in (None, "inline", "asyncio"):
            raise UsageError(f"the event loop of {gui} cannot run in a step")

    def system_piped(self, cmd: str) -> None:
        if cmd.rstrip().endswith("&"):
            raise OSError("Background processes not supported.")
        code = terminal.run(self.var_expand(cmd, depth=1))
        self.user_ns["_exit_code"] = code
        if getattr(self, "system_raise_on_error", False) and code != 0:
            raise subprocess.CalledProcessError(code, cmd)

    system = system_piped

    def ask_exit(self) -> None:
        self.exit_now = True

    def connect(self, send: Send) -> None:
        """Let everything that cells show go there."""
        self.send = send
        for channel in (self.display_pub, self.displayhook):
            channel.send = send

    def showtraceback(self, exc_tuple: Any = None, *args: Any, **keywords: Any) -> None:
        found: Any = exc_tuple or sys.exc_info()
        if len(found) == 3 and found[1] is not None:
            _hide_ours(found[1])
            found = found[0], found[1], _without_ours(found[2])
        super().showtraceback(found, *args, **keywords)

    def _showtraceback(self, etype: type[BaseException], evalue: BaseException, stb: list[str]) -> None:
        if self.displayhook.is_active():
            self.unshown = evalue
        if self.send is not None:
            self.send(
                {
                    "kind": "error",
                    "ename": etype.__name__,
                    "evalue": text_of(evalue),
                    "traceback": [_shortened(text) for text in stb],
                }
            )


def _hide_ours(error: BaseException) -> None:
    """Take this program's own frames out of the tracebacks of an error's causes."""
    seen: set[int] = set()
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        cause.__traceback__ = _without_ours(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__


def _without_ours(trace: types.TracebackType | None) -> types.TracebackType | None:
    """A traceback without this program's own frames."""
    while trace is not None and _is_ours(trace):
        trace = trace.tb_next
    last = trace
    while last is not None:
        while last.tb_next is not None and _is_ours(last.tb_next):
            last.tb_next = last.tb_next.tb_next
        last = last.tb_next
    return trace


def _is_ours(trace: types.TracebackType) -> bool:
    return trace.tb_frame.f_code.co_filename.startswith(_OURS)


def text_of(error: BaseException) -> str:
    """What an error says."""
    try:
        return _shortened(str(error))
    except Exception:  # the user's own __str__
        return "<exception str() failed>"


def _shortened(text: str) -> str:
    half = _LONGEST_TEXT // 2
    if len(text) <= 2 * half:
        return text
    return f"{text[:half]}\n[nbvertex: {len(text) - 2 * half:,} characters were dropped here]\n{text[-half:]}"


def plain(value: Any) -> Any:
    """The value as JSON can hold it: bytes become base64, what has no form in JSON becomes text."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else repr(float(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return str(value)


def make_shell(connection_file: str) -> ZMQInteractiveShell:
    """The one shell of this process; it becomes `get_ipython()` and its namespace `__main__`."""
    config = Config()
    config.HistoryManager.enabled = False  # its thread would forbid a fork
    config.HistoryManager.hist_file = ":memory:"
    config.IPKernelApp.connection_file = connection_file  # its presence says: a notebook
    shell: ZMQInteractiveShell = ZMQInteractiveShell.instance(config=config)
    shell.kernel = kernel.IPythonKernel(shell)
    kernel.set_modules(ZMQInteractiveShell)
    kernel.set_thread_names()
    shell.extension_manager.load_extension("storemagic")
    shell.register_magics(KernelMagics)
    return shell


def forbid_input() -> None:
    """Let `input` and `getpass` say that nobody is there to answer, as under papermill."""
    import builtins
    import getpass

    def refuse(name: str) -> Callable[..., str]:
        def ask(*args: Any, **kwargs: Any) -> str:
            raise StdinNotImplementedError(
                f"{name} was called, but this frontend does not support input requests."
            )

        return ask

    sys.breakpointhook = lambda *args, **keywords: None  # no debugger is attached
    builtins.input = refuse("raw_input")
    getpass.getpass = refuse("getpass")


@contextlib.contextmanager
def _cancelling(task: asyncio.Task[Any]) -> Iterator[None]:
    """An interrupt cancels the task: raised where the event loop waits, it would end the loop and not the cell."""
    loop = asyncio.get_running_loop()
    before = signal.signal(signal.SIGINT, lambda number, frame: loop.call_soon_threadsafe(task.cancel))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def run(shell: ZMQInteractiveShell, source: str, count: int) -> Any:
    """Run one cell as a kernel does and give IPython's result of it; the event loop runs meanwhile.

    A last value that cannot be shown is a failure, as ipykernel 7 has it.
    """
    shell.unshown = None
    result = await _run(shell, source, count)
    if result.success:
        result.error_in_exec = shell.unshown
    return result


async def _run(shell: ZMQInteractiveShell, source: str, count: int) -> Any:
    shell.execution_count = count
    inputs = shell.history_manager.input_hist_parsed
    raw = shell.history_manager.input_hist_raw
    for history in (inputs, raw):
        history.extend([""] * (count - len(history)))
    problem = None
    try:
        transformed = shell.transform_cell(source)
    except Exception:  # whatever a transformer raises belongs to the cell, which reports it below
        transformed, problem = source, sys.exc_info()
    keywords = {"transformed_cell": transformed, "preprocessing_exc_tuple": problem}
    if not shell.should_run_async(source, **keywords):
        return shell.run_cell(source, store_history=True)
    task = asyncio.ensure_future(shell.run_cell_async(source, store_history=True, **keywords))
    result = None
    try:
        with _cancelling(task):
            result = await task
    finally:
        shell.events.trigger("post_execute")
        shell.events.trigger("post_run_cell", result)
    return result


InteractiveShellABC.register(ZMQInteractiveShell)
