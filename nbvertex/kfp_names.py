"""What steps, parameters and values are called in a KFP pipeline, where not every name is allowed."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nbvertex.travel import Traveller

_TAKEN = frozenset(
    "Path annotations base64 command compiler dsl json kfp kit list pipeline said state words arguments "
    "int float bool str dict KIT HERE BOOT IMAGE DIGEST main".split()
)


@dataclass(frozen=True, slots=True)
class Names:
    """What a step is called.

    Args:
        function: a Python name.
        task: the task, with hyphens.
    """

    function: str
    task: str


def steps(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, Names]:
    """Name of a step -> what it is called; no two are called the same.

    Args:
        names: of the steps, in notebook order.
        taken: Python names that mean something else.
    """
    used = {name.lower() for name in (*_TAKEN, *taken)}
    found: dict[str, Names] = {}
    for place, name in enumerate(names, 1):
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        function = re.sub(r"[^a-z0-9]+", "_", plain).strip("_") or f"step_{place}"
        if not function[0].isalpha() or keyword.iskeyword(function) or function in used:
            function = f"step_{function}"
        stem, number = function, 2
        while function in used:
            function, number = f"{stem}_{number}", number + 1
        used.add(function)
        found[name] = Names(function, function.replace("_", "-"))
    return found


def inputs(step: Traveller, before: Iterable[str]) -> Mapping[str, str]:
    """Name of a parameter -> what the step's component calls it: its own artifacts have names, too."""
    taken = {"state", "page", "metrics", *before, *(f"value_{value}" for value in step.values)}
    return {one.name: f"{one.name}_given" if one.name in taken else one.name for one in step.parameters}
