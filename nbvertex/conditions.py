"""What is wrong with steps under a condition and over a list, as far as it can be seen before they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nbvertex import grammar
from nbvertex.deeds import Deed
from nbvertex.errors import Place, Problem, nearest
from nbvertex.names import given
from nbvertex.pipeline import SETUP, AllOf, Condition, Each, Step


def problems(steps: Sequence[Step], deeds: Sequence[Deed]) -> Iterator[Problem]:
    """Conditions and lists that cannot work, and names that may be missing because of them.

    Args:
        steps: in notebook order of their first cells.
        deeds: of all cells, in notebook order.
    """
    marked = [step for step in steps if step.options.when or step.options.each]
    if not marked:
        return
    known = _Known(steps, deeds)
    for step in marked:
        if step.name == SETUP:
            yield _problem(
                step, "setup-mark", "the set-up runs always, and once", "mark a step of its own: step:NAME"
            )
            continue
        yield from _condition(step, known)
        if step.options.each is not None:
            yield from _each(step, step.options.each, known)
    yield from _untaken(known)


def _problem(step: Step, code: str, message: str, hint: str | None, severity: str = "error") -> Problem:
    return Problem(code, message, Place(cell=step.cells[0].position, step=step.name), hint, severity)


class _Known:
    """What each step finds bound.

    Args:
        steps, deeds: the notebook.
    """

    def __init__(self, steps: Sequence[Step], deeds: Sequence[Deed]) -> None:
        self.steps = steps
        self.places = {step.name: number for number, step in enumerate(steps)}
        self.own: list[list[Deed]] = [[] for _ in steps]
        for deed in deeds:
            self.own[deed.step].append(deed)
        self.anything = [any(d.facts.everything or d.facts.stars for d in own) for own in self.own]

    def before(self, step: Step) -> dict[str, list[int]]:
        """Name -> the steps before this one that bind it."""
        found: dict[str, list[int]] = {}
        for number in range(self.places[step.name]):
            for deed in self.own[number]:
                for name in deed.binds:
                    if number not in found.setdefault(name, []):
                        found[name].append(number)
        return found

    def later(self, step: Step, name: str) -> Step | None:
        """The first step from this one on that binds a name."""
        for number in range(self.places[step.name], len(self.steps)):
            if any(name in deed.binds and not deed.mark for deed in self.own[number]):
                return self.steps[number]
        return None

    def unsure(self, step: Step) -> bool:
        """Whether nobody can tell which names are bound when a step begins."""
        return any(self.anything[: self.places[step.name]])


def _condition(step: Step, known: _Known) -> Iterator[Problem]:
    when, each = step.options.when, step.options.each
    for name in grammar.names(when.test) if when else ():
        if each is not None and name == each.name:
            yield _problem(
                step,
                "when-item",
                f"`when` decides once for the whole step, and `{name}` is another in each round",
                f"write `if` in the cell, or take what `{name}` is compared with out of the list",
            )
        else:
            yield from _unknown(step, "when", name, known)


def _unknown(step: Step, option: str, name: str, known: _Known) -> Iterator[Problem]:
    """A name that a mark reads and no step before binds."""
    before = known.before(step)
    if name in before or known.unsure(step):
        return
    said = f"`{option}` of step `{step.name}` reads `{name}`, which"
    later = known.later(step, name)
    if later is step:
        message = f"{said} only the step itself binds"
        yield _problem(step, f"{option}-name", message, f"bind `{name}` in a step before")
    elif later is not None:
        hint = f"put step `{step.name}` below step `{later.name}`"
        yield _problem(step, f"{option}-name", f"{said} only the later step `{later.name}` binds", hint)
    else:
        near = None if given(name) else nearest(name, before)
        hint = (
            f"did you mean `{near}`?" if near else f"bind `{name}` in a step before, or make it a parameter"
        )
        yield _problem(step, f"{option}-name", f"{said} no step before it binds", hint)


def _each(step: Step, each: Each, known: _Known) -> Iterator[Problem]:
    if each.source:
        yield from _unknown(step, "each", each.source, known)
    before = known.before(step)
    if each.name in before:
        other = known.steps[before[each.name][0]]
        yield _problem(
            step,
            "each-shadows",
            f"`each` of step `{step.name}` binds `{each.name}`, which step `{other.name}` has bound before",
            f"take another name, or tag the cell that binds `{each.name}` `skip`: plain Jupyter runs it all the same",
        )
    elif given(each.name):
        yield _problem(
            step, "each-shadows", f"`each` binds `{each.name}`, a name of Python's own", "take another name"
        )
    yield from _apart(step, known)
    yield from _touched(step, each, known)


def _apart(step: Step, known: _Known) -> Iterator[Problem]:
    """A step over a list must be of one piece: its rounds follow one another."""
    first, last = step.cells[0].position, step.cells[-1].position
    for other in known.steps:
        for cell in other.cells:
            if other is not step and first < cell.position < last:
                yield _problem(
                    step,
                    "each-apart",
                    f"step `{step.name}` runs over a list, and cell {cell.position} of step `{other.name}` "
                    "stands between its cells",
                    f"move cell {cell.position}, or give cell {last} a step of its own",
                )
                return


_CARRIED = {"cwd": "the working folder", "environ": "environment variables", "signals": "signal handlers"}


def _touched(step: Step, each: Each, known: _Known) -> Iterator[Problem]:
    """State outside the names that every round sets, and names that the rounds change in copies."""
    own = [deed for deed in known.own[known.places[step.name]] if not deed.mark]
    for deed in own:
        for (kind, _, mode), line in deed.outcome.state.items():
            if mode != "read" and kind in _CARRIED:
                yield Problem(
                    "each-state",
                    f"the step runs over a list, and its rounds must not set {_CARRIED[kind]}",
                    Place(cell=deed.cell.position, line=line, step=step.name),
                    "do that in a step before",
                    "warning",
                )
    bound = {each.source, *each.gathers, *(name for deed in own for name in deed.binds)}
    for deed in own:
        for name in deed.facts.mutates:
            if name not in bound:
                bound.add(name)
                yield Problem(
                    "each-changes",
                    f"every round changes a copy of `{name}`, and afterwards `{name}` is the list of these copies",
                    Place(cell=deed.cell.position, line=deed.told.changes.get(name), step=step.name),
                    f"bind what a round makes to a name of its own, and add it to `{name}` in a later step",
                    "warning",
                )


def _untaken(known: _Known) -> Iterator[Problem]:
    """Names that a step reads, and that only steps bind which may not be taken."""
    for number, step in enumerate(known.steps):
        if known.unsure(step):
            return
        before = known.before(step)
        told: set[str] = set()
        for deed in known.own[number]:
            for name, line in deed.needed.items():
                binders = [known.steps[place] for place in before.get(name, ())]
                if name in told or not binders or not all(one.options.when for one in binders):
                    continue
                if any(_implies(step, one) for one in binders) or name in _own_before(
                    known.own[number], deed
                ):
                    continue
                told.add(name)
                one = binders[-1]
                assert one.options.when is not None
                yield Problem(
                    "maybe-unbound",
                    f"`{name}` is bound only in step `{one.name}`, which runs only when {one.options.when.text}",
                    Place(cell=deed.cell.position, line=line, step=step.name),
                    f"bind `{name}` before step `{one.name}`, or give step `{step.name}` the same condition",
                    "warning",
                )


def _own_before(own: Sequence[Deed], deed: Deed) -> set[str]:
    return {name for one in own[: own.index(deed)] for name in one.kills | set(one.binds)}


def _implies(step: Step, other: Step) -> bool:
    """Whether a step that runs under a condition runs only where another one has run too."""
    mine, theirs = step.options.when, other.options.when
    return mine is not None and theirs is not None and theirs.test in _parts(mine.test)


def _parts(test: Condition) -> list[Condition]:
    """The conditions that all hold where one does."""
    found = [test]
    for part in test.of if isinstance(test, AllOf) else ():
        found += _parts(part)
    return found
