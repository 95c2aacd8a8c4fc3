"""What a run knows after each step: which object every name is bound to, and which bytes hold that object now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from nbvertex.errors import StoreError
from nbvertex.pipeline import Record
from nbvertex.runtime.closure import apply, closure

MISSING_ENTRY = "missing-entry"  # the code of an error: what a name needs is not there


class Held(Record, frozen=True, kw_only=True):
    """An artifact as a step left it: the bytes of a group of entries that share an object.

    Args:
        digest: SHA-256 of the bytes.
        size: how many there are.
        format: how to read them.
        entries: the ids of the entries they hold.
        refs: ids of entries that lie elsewhere and are needed to read them.
        free: global names that functions in them read when they are called.
        modules: modules without which they cannot be read.
        types: entry -> its type, for whoever wants to see.
    """

    digest: str
    size: int
    format: str
    entries: tuple[str, ...]
    refs: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    types: dict[str, str] = msgspec.field(default_factory=dict)


class Change(Record, frozen=True, kw_only=True):
    """What a step did to the state.

    Args:
        names: name -> entry; None where the name is gone.
        held: the artifacts that are new.
        written: the names that it has bound or deleted, or whose objects it has changed; only rounds tell.
    """

    names: dict[str, str | None] = msgspec.field(default_factory=dict)
    held: tuple[Held, ...] = ()
    written: tuple[str, ...] = ()


class FileSeen(Record, frozen=True, kw_only=True):
    """A file as a step met it; ``digest`` is empty where there was none."""

    path: str
    digest: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a step reads: the names it asks for, and everything needed to have them.

    Two steps that see equal inputs see the same.

    Args:
        names: name -> entry; None for a name that was asked for and is not bound.
        held: the artifacts, each after what asked for it.
    """

    names: Mapping[str, str | None] = field(default_factory=dict)
    held: tuple[Held, ...] = ()

    @property
    def modules(self) -> frozenset[str]:
        """The modules without which these cannot be read."""
        return frozenset(module for held in self.held for module in held.modules)

    def homes(self) -> dict[str, str]:
        """Entry -> digest of what holds it."""
        return {entry: held.digest for held in self.held for entry in held.entries}


class State:
    """The names of the run and the artifacts that hold them, as they stand after some step.

    Args:
        names: name -> entry.
        homes: entry -> the artifact that holds it now.
    """

    def __init__(
        self, names: Mapping[str, str] | None = None, homes: Mapping[str, Held] | None = None
    ) -> None:
        self.names = dict(names or {})
        self.homes = dict(homes or {})

    def copy(self) -> State:
        """Another state that begins as this one."""
        return State(self.names, self.homes)

    def apply(self, change: Change) -> None:
        """Do to the state what a step did."""
        apply(self.names, self.homes, change.names, change.held)

    def inputs(self, wanted: Iterable[str] | None) -> Inputs:
        """What a step loads that reads some names.

        Args:
            wanted: the names; None for all. The state outside the names always comes too, and so does
                every name of an object that comes: what the step does to it is seen by all its names.

        Raises:
            StoreError: the record of the run does not hold what a name is bound to.
        """
        try:
            names, also, held = closure(self.names, self.homes, wanted)
        except KeyError as missing:
            raise StoreError(
                f"the run's record has no home for entry {missing.args[0]}", code=MISSING_ENTRY
            ) from None
        return Inputs({**names, **also}, held)


def difference(before: Inputs, names: Mapping[str, str | None], held: Iterable[Held]) -> Change:
    """What a step changed of what it loaded, and what it made anew.

    Args:
        before: what it loaded.
        names: name -> entry as it left them.
        held: the artifacts as it left them.
    """
    known = before.homes()
    return Change(
        names={name: entry for name, entry in names.items() if before.names.get(name, "") != entry},
        held=tuple(h for h in held if any(known.get(entry) != h.digest for entry in h.entries)),
    )


def as_held(meta: Mapping[str, Any], entries: Iterable[str] | None = None) -> Held:
    """An artifact's meta as a step's process sends it, as a record."""
    return Held(
        digest=meta["digest"],
        size=meta["size"],
        format=meta["format"],
        entries=tuple(meta["entries"] if entries is None else entries),
        refs=tuple(meta.get("refs", ())),
        free=tuple(meta.get("free", ())),
        modules=tuple(meta.get("modules", ())),
        types=dict(meta.get("types", {})),
    )
