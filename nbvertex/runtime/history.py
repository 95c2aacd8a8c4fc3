"""IPython's memory of inputs and outputs: kept where a later cell may read it."""

from __future__ import annotations

import re
from typing import Any

NAMES = ("In", "Out", "_", "__", "___", "_ih", "_oh", "_dh", "_i", "_ii", "_iii", "__annotations__")

_NUMBERED = re.compile(r"_i?\d+$")  # _3, _i3


def is_one(name: str) -> bool:
    """Is it a name under which IPython remembers?"""
    return name in NAMES or _NUMBERED.match(name) is not None


def take(shell: Any) -> dict[str, Any]:
    """IPython's memory of inputs and outputs, where a later cell may read it."""
    namespace = shell.user_ns
    kept = {name: value for name, value in namespace.items() if is_one(name)}
    hook, inputs = shell.displayhook, shell.history_manager
    return {
        "names": kept,
        "hook": [getattr(hook, name, "") for name in _RESULTS],
        # IPython goes on with `_` as long as it is the very object: numbers are not, once they have travelled
        "untouched": [name for name in _RESULTS if getattr(hook, name, "") is namespace.get(name)],
        "inputs": [getattr(inputs, name, "") for name in _INPUTS],
        "raw": list(inputs.input_hist_raw),
    }


_RESULTS = ("_", "__", "___")
_INPUTS = ("_i00", "_i", "_ii", "_iii")  # where IPython keeps the last ones


def give_back(shell: Any, history: dict[str, Any]) -> None:
    """Let the shell remember what `take` took."""
    namespace = shell.user_ns
    for name in _RESULTS:
        if name not in history["names"]:  # a cell has deleted it
            namespace.pop(name, None)
    for name, value in history["names"].items():
        current = namespace.get(name)
        if name in ("In", "_ih", "_dh") and isinstance(current, list):
            current[:] = value
        elif name in ("Out", "_oh") and isinstance(current, dict):
            current.clear()
            current.update(value)
        else:
            namespace[name] = value
    for name, value in zip(_RESULTS, history["hook"], strict=True):
        setattr(shell.displayhook, name, namespace[name] if name in history["untouched"] else value)
    for name, value in zip(_INPUTS, history["inputs"], strict=True):
        setattr(shell.history_manager, name, value)
    shell.history_manager.input_hist_raw[:] = history["raw"]
