"""What steps, parameters and values are called in a KFP pipeline, where not every name is allowed."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nbvertex.travel import Role, Traveller

_TAKEN = frozenset(
    "Path annotations base64 command compiler dsl json kfp kit list pipeline said state words "
    "item read cells List int float bool str dict KIT HERE BOOT IMAGE DIGEST main".split()
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


SUFFIXES: Mapping[Role, str] = MappingProxyType(
    {"run": "", "round": "", "decide": "_when", "skip": "_skipped", "list": "_items", "gather": "_lists"}
)


def parts(steps: Iterable[Traveller], taken: Iterable[str] = ()) -> dict[tuple[str, Role], Names]:
    """What the parts of steps are called; no two are called the same.

    Args:
        steps: in notebook order.
        taken: Python names that mean something else.
    """
    used = {name.lower() for name in (*_TAKEN, *taken)}
    found: dict[tuple[str, Role], Names] = {}
    for place, one in enumerate(steps, 1):
        stem = _stem(one.step.name, place)
        free, number = stem, 2
        while not used.isdisjoint(_bound(free, one)):
            free, number = (f"step_{stem}", number) if free == stem else (f"step_{stem}_{number}", number + 1)
        used |= _bound(free, one)
        for part in one.parts:
            function = free + SUFFIXES[part.role]
            found[one.step.name, part.role] = Names(function, function.replace("_", "-"))
    return found


def _bound(free: str, one: Traveller) -> set[str]:
    """The names that a step called so has in the source: of its functions, their tasks, and what they leave."""
    functions = {free + SUFFIXES[part.role] for part in one.parts}
    return {f"{function}{end}" for function in functions for end in ("", "_task", "_state")}


def _stem(name: str, place: int) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    function = re.sub(r"[^a-z0-9]+", "_", plain).strip("_") or f"step_{place}"
    return f"step_{function}" if not function[0].isalpha() or keyword.iskeyword(function) else function


def inputs(step: Traveller, before: Iterable[str]) -> Mapping[str, str]:
    """Name of a parameter -> what the step's component calls it: its own artifacts have names, too."""
    own = {"state", "page", "metrics", "item", "rounds"}
    taken = {*own, *before, *(f"value_{value}" for value in step.values)}
    return {one.name: f"{one.name}_given" if one.name in taken else one.name for one in step.parameters}
