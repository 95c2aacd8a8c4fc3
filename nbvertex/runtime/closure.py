"""What a step loads that reads some names, with everything that is needed to have them; and what becomes of both after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

OUTSIDE = "@"  # names that begin so are the state outside the names


class Holds(Protocol):
    """An artifact: the entries in it, those elsewhere that it needs, the global names that its functions read."""

    @property
    def entries(self) -> tuple[str, ...]: ...
    @property
    def refs(self) -> tuple[str, ...]: ...
    @property
    def free(self) -> tuple[str, ...]: ...


Held = TypeVar("Held", bound=Holds)


def closure(
    names: Mapping[str, str], homes: Mapping[str, Held], wanted: Iterable[str] | None
) -> tuple[dict[str, str | None], dict[str, str], tuple[Held, ...]]:
    """What a step loads.

    Args:
        names: name -> entry.
        homes: entry -> the artifact that holds it now.
        wanted: the names it reads; None for all. The state outside the names always comes too, and so does
            every name of an object that comes: what the step does to it is seen by all its names.

    Returns:
        name -> entry, None for one that was asked for and is not bound; the same of names whose objects come along; and
        the artifacts, each after what asked for it.

    Raises:
        KeyError: an entry has no home.
    """
    bound: dict[str, str | None] = {}
    found: dict[int, Held] = {}
    entries: list[str] = []
    asked = set(names if wanted is None else wanted)
    asked.update(name for name in names if name.startswith(OUTSIDE))
    queue = sorted(asked, reverse=True)
    while queue or entries:
        if not entries:
            name = queue.pop()
            entry = bound[name] = names.get(name)
            if entry is not None:
                entries.append(entry)
            continue
        held = homes[entries.pop()]
        if id(held) in found:
            continue
        found[id(held)] = held
        entries.extend(reversed(held.refs))
        more = [name for name in held.free if name not in asked]
        asked.update(more)
        queue.extend(reversed(more))
    arrived = {entry for held in found.values() for entry in held.entries}
    also = {name: entry for name, entry in names.items() if entry in arrived and name not in bound}
    return bound, also, tuple(found.values())


def apply(
    names: dict[str, str], homes: dict[str, Held], left: Mapping[str, str | None], held: Iterable[Held]
) -> None:
    """Do to a state what a step did.

    Args:
        names: name -> entry, before and then after.
        homes: entry -> the artifact that holds it, likewise.
        left: name -> entry of what the step has bound; None for a name that is gone.
        held: the artifacts that it has made.
    """
    for name, entry in left.items():
        if entry is None:
            names.pop(name, None)
        else:
            names[name] = entry
    for one in held:
        homes.update(dict.fromkeys(one.entries, one))
