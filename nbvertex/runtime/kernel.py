"""What code looks at to know that it runs in a notebook kernel; there is no kernel, and nobody to talk to."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
import threading
import types
from typing import Any

ENVIRONMENT = {  # for the programs that cells start
    "TERM": "xterm-color",
    "CLICOLOR": "1",
    "FORCE_COLOR": "1",
    "CLICOLOR_FORCE": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
}
FIGURES = "module://matplotlib_inline.backend_inline"


class IPythonKernel:
    """`get_ipython().kernel`.

    Args:
        shell: the shell.
    """

    __module__ = "ipykernel.ipkernel"

    def __init__(self, shell: Any) -> None:
        self.shell = shell

    @property
    def comm_manager(self) -> Any:
        """Where widgets register."""
        import comm

        return comm.get_comm_manager()

    def get_parent(self, channel: str = "shell") -> dict[str, Any]:
        """The message that is being answered: its identity differs from cell to cell."""
        return {"header": {"msg_id": self.cell, "msg_type": "execute_request"}}

    @property
    def cell(self) -> str:
        """The identity of the message that has asked for the cell."""
        return f"cell-{self.shell.execution_count}"


def set_environment() -> None:
    """Set the variables that a kernel sets."""
    os.environ.update(ENVIRONMENT)
    if not os.environ.get("MPLBACKEND"):
        os.environ["MPLBACKEND"] = FIGURES


def set_arguments() -> str:
    """Set the arguments and the import path of a kernel that papermill starts; gives its connection file."""
    connection = os.path.expanduser("~/.local/share/jupyter/runtime/kernel.json")
    program = os.path.join(sysconfig.get_path("purelib"), "ipykernel_launcher.py")
    sys.argv = [program, "-f", connection, "--HistoryManager.hist_file=:memory:"]
    folders = [os.path.basename(path) in ("site-packages", "dist-packages") for path in sys.path]
    sys.path.insert(folders.index(True) if True in folders else 0, "")
    return connection


def set_thread_names() -> None:
    """Let the first thread of a cell be Thread-5, since a kernel has four of its own."""
    for _ in range(4):
        threading.Thread()


def set_modules(shell_class: type) -> None:
    """Let `sys.modules` show a kernel's package and the module of its shell.

    Args:
        shell_class: what `ipykernel.zmqshell` calls its shell.
    """
    package = _Package("ipykernel")
    package.__spec__ = importlib.util.find_spec("ipykernel")
    package.__path__ = list(getattr(package.__spec__, "submodule_search_locations", None) or [])
    package.__file__ = getattr(package.__spec__, "origin", None)
    sys.modules["ipykernel"] = package
    zmqshell = types.ModuleType("ipykernel.zmqshell")
    zmqshell.__spec__ = importlib.machinery.ModuleSpec("ipykernel.zmqshell", None)
    setattr(zmqshell, shell_class.__name__, shell_class)
    sys.modules["ipykernel.zmqshell"] = vars(package)["zmqshell"] = zmqshell


class _Package(types.ModuleType):
    """The package `ipykernel`, which is executed only when somebody wants something of it."""

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        asked_of_all = (
            name.startswith("__") and name != "__version__"
        )  # by those who go through `sys.modules`
        if asked_of_all or spec is None or spec.loader is None:
            raise AttributeError(f"module 'ipykernel' has no attribute {name!r}")
        self.__class__ = types.ModuleType  # type: ignore[assignment]
        spec.loader.exec_module(self)
        return getattr(self, name)
