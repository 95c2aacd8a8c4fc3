"""Which steps may start before all earlier ones have ended, and whether what such a step read still holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nbvertex.pipeline import Facts
from nbvertex.plan import Planned
from nbvertex.state import Inputs

CARRIED = frozenset({"cwd", "environ", "ipython", "modules"})  # state that every step takes over
SEEN_AT_ONCE = frozenset({"input", "network", "process", "signals", "threads"})  # it would only stop and wait
DRAWN = frozenset({"@random", "@numpy.random", "@torch"})  # state that nobody uses without changing it


class Early:
    """What can be known before a step runs about its running side by side with others.

    Args:
        steps: all of the pipeline, in notebook order.
        apart: they are rounds of one step, and none of them sees what another does.
    """

    def __init__(self, steps: Sequence[Planned], *, apart: bool = False) -> None:
        self._apart = apart
        self._new_imports: list[bool] = []
        so_far: set[str] = set()
        for planned in steps:
            imports = set(planned.step.facts.imports)
            self._new_imports.append(not imports <= so_far)
            so_far |= imports

    def may_start(self, planned: Planned) -> bool:
        """Whether a step is of a kind that can run early at all."""
        facts, each = planned.step.facts, planned.step.options.each
        ordered = each.ordered if self._apart and each is not None else writes_files(facts)
        return not facts.everything and SEEN_AT_ONCE.isdisjoint(facts.outside) and not ordered

    def lets_pass(self, unfinished: Planned) -> bool:
        """Whether a step that has not ended leaves the state alone that every later step takes over."""
        facts = unfinished.step.facts
        return self._apart or (
            not facts.everything
            and CARRIED.isdisjoint(facts.outside)
            and not self._new_imports[unfinished.index]
        )


def writes_files(facts: Facts) -> bool:
    """Whether it may write files; code that is no Python does so without being noticed."""
    return bool(facts.files_written) or ("files" in facts.outside and not facts.files_read)


def untouched(planned: Planned, before: Inputs, now: Inputs) -> frozenset[str] | None:
    """What a step must have left alone, so that having read ``before`` is as good as reading ``now``.

    Args:
        planned: the step.
        before: what it read.
        now: what it would read now.

    Returns:
        names of outside state, none where both are equal; None where nothing helps.
    """
    if before == now:
        return frozenset()
    homes = before.homes(), now.homes()
    differing = frozenset(
        name
        for name in {*before.names, *now.names}
        if _seen(name, before, homes[0]) != _seen(name, now, homes[1])
    )
    if not differing <= DRAWN or "random" in planned.step.facts.outside:
        return None
    gone = {inputs.names.get(name) for inputs in (before, now) for name in differing}
    rest = [{entry: digest for entry, digest in home.items() if entry not in gone} for home in homes]
    return differing if rest[0] == rest[1] else None


def _seen(name: str, inputs: Inputs, homes: Mapping[str, str]) -> tuple[str | None, str | None]:
    entry = inputs.names.get(name)
    return entry, homes.get(entry or "")
