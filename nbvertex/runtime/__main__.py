"""Starts this folder as a package of its own, so that no name in it stands before a module of the user's."""

from __future__ import annotations

import importlib.util
import os
import sys

NAME = "nbvertex_runtime"
OLDEST = (3, 11)
TOLD = {"task": "executor", "job": "whole"}  # who does what the words of a container say


def _start(folder: str) -> None:
    if sys.path and os.path.abspath(sys.path[0]) == folder:
        del sys.path[0]
    spec = importlib.util.spec_from_file_location(
        NAME, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = package
    spec.loader.exec_module(package)
    role, *arguments = sys.argv[1:]
    if role in TOLD:
        sys.exit(importlib.import_module(f"{NAME}.{TOLD[role]}").main(arguments, os.path.dirname(folder)))
    importlib.import_module(NAME + ".warm").main([role, *arguments])


if __name__ == "__main__":
    if sys.version_info < OLDEST:
        sys.exit(f"Python {OLDEST[0]}.{OLDEST[1]} or later is needed, this is {sys.version.split()[0]}")
    _start(os.path.dirname(os.path.abspath(__file__)))
