"""Runs in a mapped environment: executes a notebook, writes it with its outputs, tells what its cells print."""

from __future__ import annotations

import sys
from typing import Any


def main(source: str, target: str, kernel: str) -> int:
    """Execute a notebook; the exit code says whether it ended well."""
    from importlib import import_module

    nbformat: Any = import_module("nbformat")
    nbclient: Any = import_module("nbclient")
    errors: Any = import_module("nbclient.exceptions")
    notebook = nbformat.read(source, as_version=4)
    kernel = kernel or notebook.metadata.get("kernelspec", {}).get("name", "") or "python3"

    def tell(cell: Any, cell_index: int, execute_reply: Any) -> None:
        for output in cell.get("outputs", ()):
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            stream = sys.stderr if output.get("name") == "stderr" else sys.stdout
            stream.write(text if text.endswith("\n") else f"{text}\n")
            stream.flush()

    client = nbclient.NotebookClient(notebook, timeout=None, kernel_name=kernel, on_cell_executed=tell)
    why = ""
    try:
        client.execute()
    except errors.CellExecutionError as error:
        sys.stderr.write(f"{error.traceback}\n")
        why = f"{error.ename}: {error.evalue}"
    except errors.DeadKernelError as error:
        why = str(error)
    finally:
        nbformat.write(notebook, target)
    if why:
        sys.stderr.write(f"{why}\n")
    return 1 if why else 0


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file is no business of the notebook's
    sys.exit(main(*sys.argv[1:]))
