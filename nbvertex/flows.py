"""The arrows between steps: who wrote what a step reads, and what must not overtake what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from nbvertex import conditions, returning
from nbvertex.dataflow import Analysis
from nbvertex.deeds import Deed, gathered, imported, perform
from nbvertex.errors import Problem
from nbvertex.outside import Outside, Touch
from nbvertex.pipeline import Each, Facts, Flow, Step, Why
from nbvertex.stage import bits


@dataclass(frozen=True, slots=True)
class Connected:
    """Steps that know of each other.

    Args:
        steps: in the order given, with facts, needs and live filled in; cells keep theirs.
        flows: the arrows, by target and source in notebook order.
        problems: steps that return, and cannot be run as one.
    """

    steps: tuple[Step, ...]
    flows: tuple[Flow, ...] = ()
    problems: tuple[Problem, ...] = ()


def combine(facts: Iterable[Facts]) -> Facts:
    """The facts of code that is run one piece after the other."""
    reads: set[str] = set()
    surely: set[str] = set()
    every = list(facts)
    for one in every:
        reads |= set(one.reads) - surely
        surely = (surely | set(one.surely)) - set(one.deletes)

    def union(name: str) -> tuple[str, ...]:
        return tuple(sorted({item for one in every for item in getattr(one, name)}))

    mutates = union("mutates")
    return Facts(
        reads=tuple(sorted(reads)),
        binds=union("binds"),
        surely=tuple(sorted(surely - reads)),
        mutates=mutates,
        touches=tuple(sorted(set(union("touches")) - set(mutates))),
        deletes=union("deletes"),
        everything=any(one.everything for one in every),
        outside=union("outside"),
        imports=union("imports"),
        stars=union("stars"),
        requirements=tuple(dict.fromkeys(item for one in every for item in one.requirements)),
        files_read=union("files_read"),
        files_written=union("files_written"),
        is_async=any(one.is_async for one in every),
    )


def connect(steps: Sequence[Step], analyses: Mapping[int, Analysis]) -> Connected:
    """Find the arrows between steps.

    Args:
        steps: in notebook order of their first cells, with cells and options.
        analyses: of every cell of theirs, by its position.
    """
    deeds = perform(steps, analyses)
    cells = [deed for deed in deeds if not deed.mark]
    arrows = _Arrows(steps)
    for deed in deeds:
        arrows.add(deed)
    arrows.orders()
    by_step: list[list[Deed]] = [[] for _ in steps]
    for deed in deeds:
        by_step[deed.step].append(deed)
    facts = [_facts(step, own) for step, own in zip(steps, by_step, strict=True)]
    live = _live(by_step)
    flows = arrows.flows()
    names = [step.name for step in steps]
    needs: dict[str, set[str]] = {name: set() for name in names}
    for flow in flows:
        if not flow.maybe:
            needs[flow.target].add(flow.source)
    connected = tuple(
        msgspec.structs.replace(
            step,
            facts=facts[number],
            needs=tuple(sorted(needs[step.name], key=arrows.places.__getitem__)),
            live=live[number],
            options=msgspec.structs.replace(step.options, each=_seen(step, by_step[number])),
        )
        for number, step in enumerate(steps)
    )
    return Connected(
        steps=connected,
        flows=flows,
        problems=(*returning.problems(steps, cells), *conditions.problems(connected, deeds)),
    )


def _facts(step: Step, deeds: Sequence[Deed]) -> Facts:
    """What the cells of a step do; what its condition and its list read is none of it."""
    each = step.options.each
    given = [Facts(binds=(each.name,), surely=(each.name,))] if each else []
    return combine([*given, *(deed.facts for deed in deeds if not deed.mark)])


def _seen(step: Step, deeds: Sequence[Deed]) -> Each | None:
    """The list of a step, with what can be seen of its rounds."""
    each = step.options.each
    if each is None:
        return None
    modes: dict[str, list[str]] = {}
    for deed in deeds:
        for kind, what, mode in deed.outcome.state:
            if kind in ("random", "chance"):
                modes.setdefault(what, []).append(mode if kind == "random" else "update")
    seeds = sorted(what for what, done in modes.items() if done[0] == "write" and "" not in modes)
    own = [deed for deed in deeds if not deed.mark]
    return msgspec.structs.replace(
        each,
        gathers=gathered(each, own),
        imports=imported(own),
        seeds=tuple(seeds),
        ordered=_is_ordered(own),
    )


def _is_ordered(deeds: Sequence[Deed]) -> bool:
    """Whether rounds of these cells may meet each other's files: they read and write some, or write one by its name."""
    found = [(what, mode) for deed in deeds for kind, what, mode in deed.outcome.state if kind == "files"]
    reads = any(mode == "read" for _, mode in found)
    writes = any(mode != "read" for _, mode in found)
    return writes and (reads or any(what for what, mode in found if mode != "read"))


def _live(by_step: Sequence[Sequence[Deed]]) -> list[tuple[str, ...]]:
    """For each step, the names that later steps may read, as far as it or earlier ones may have bound them."""
    first: dict[str, int] = {}  # the step that binds a name first
    unknown = len(by_step)  # the first step of which nobody can tell what it binds
    for number, deeds in enumerate(by_step):
        for deed in deeds:
            for name in (*deed.binds, *deed.shell):
                first.setdefault(name, number)
            if deed.facts.stars or deed.facts.everything:
                unknown = min(unknown, number)
    later: set[str] = set()
    anything = False  # some later step may read any name
    out: list[tuple[str, ...]] = []
    for number in reversed(range(len(by_step))):
        wanted = later | set(first) if anything else later
        known = (
            wanted
            if number >= unknown
            else {name for name in wanted if first.get(name, number + 1) <= number}
        )
        out.append(tuple(sorted(known)))
        for deed in reversed(by_step[number]):
            later -= deed.kills
            later |= deed.needed.keys()
            anything = anything or deed.facts.everything
    out.reverse()
    return out


@dataclass(slots=True)
class _Writer:
    """A cell that gave a name its value, or changed an object."""

    deed: Deed
    line: int

    @property
    def step(self) -> int:
        return self.deed.step


def _why(deed: Deed, line: int) -> Why:
    lines = deed.cell.source.splitlines()
    text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    return Why(cell=deed.cell.position, line=line, text=text[:200])


@dataclass(slots=True)
class _Arrow:
    """An arrow in the making: its names with the lines that made it so."""

    names: dict[str, tuple[Deed | Touch, int, Deed, int]] = field(default_factory=dict)

    def whys(self, names: Sequence[str]) -> tuple[tuple[Why, ...], tuple[Why, ...]]:
        """The lines that wrote, and those that read."""
        written, read = [], []
        for name in names:
            source, above, target, below = self.names[name]
            written.append(
                Why(cell=source.cell, line=above) if isinstance(source, Touch) else _why(source, above)
            )
            read.append(_why(target, below))
        return tuple(dict.fromkeys(written)), tuple(dict.fromkeys(read))


class _Arrows:
    """Gathers the arrows, cell after cell in notebook order."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps
        self.places = {step.name: number for number, step in enumerate(steps)}
        self.binders: dict[str, dict[int, _Writer]] = {}
        self.changers: dict[int, _Writer] = {}
        self.handlers: dict[int, _Writer] = {}
        self.touched = 0  # the objects that have a changer or a handler
        self.anyone: _Writer | None = None  # the last cell that may do anything to names
        self.since: list[Deed] = []  # the cells that bound or changed something since then
        self.stars: list[_Writer] = []
        self.outside = Outside()
        self.made: dict[tuple[int, int, str, bool], _Arrow] = {}
        self.above = [0] * len(steps)  # for each step, the steps that it comes after anyhow

    def add(self, deed: Deed) -> None:
        """Arrows into a cell, then what it leaves for later ones."""
        if "close_figures" in deed.analysis.python or "switch_backend" in deed.analysis.python:
            self.outside.figures = True
        for name, line in deed.needed.items():
            self._name(deed, name, line)
        if deed.facts.everything:
            self._everything(deed)
        self._state(deed)
        self._leave(deed)

    def _name(self, deed: Deed, name: str, line: int) -> None:
        """Arrows for one name that a cell reads."""
        binders = list(self.binders.get(name, {}).values())
        carried = name in deed.outcome.carried
        for writer in binders:
            self._arrow(writer, deed, name, line, maybe=carried)
        sources: dict[int, tuple[_Writer, bool]] = {}
        for number in bits(deed.met.get(name, 0) & self.touched):
            for found, maybe in ((self.changers.get(number), False), (self.handlers.get(number), True)):
                if found is not None:
                    known = sources.get(found.step)
                    sources[found.step] = (found, carried or (maybe and (known is None or known[1])))
        for star in self.stars if not binders else ():
            sources.setdefault(star.step, (star, carried))
        anyone = self.anyone
        if anyone is not None and all(w.deed.cell.position < anyone.deed.cell.position for w in binders):
            sources.setdefault(anyone.step, (anyone, carried or bool(binders)))
        for step in sorted(sources, reverse=True):
            writer, maybe = sources[step]
            if not self.above[deed.step] >> step & 1:
                self._arrow(writer, deed, name, line, maybe=maybe)

    def _everything(self, deed: Deed) -> None:
        """A cell that may read any name comes after all that wrote one."""
        line = deed.outcome.everything
        for writer in self.since:
            for name, at in writer.told.binds.items():
                if any(binder.deed is writer for binder in self.binders.get(name, {}).values()):
                    self._arrow(_Writer(writer, at), deed, name, line, maybe=False)
            for name, at in writer.told.changes.items():
                self._arrow(_Writer(writer, at), deed, name, line, maybe=False)
        if self.anyone is not None:
            self._arrow(self.anyone, deed, "*", line, maybe=False)

    def _state(self, deed: Deed) -> None:
        first: dict[tuple[str, str], str] = {}
        for kind, what, mode in deed.outcome.state:
            first.setdefault((kind, what), mode)
        anew = {key for key, mode in first.items() if mode == "write" and key[0] != "files"}
        for touch in self.outside.around(anew):
            self._order(touch, deed, 1)
        for state, line in deed.outcome.state.items():
            for touch in self.outside.before(state) if state[:2] not in anew else ():
                self._order(touch, deed, line)
        for state, line in deed.outcome.state.items():
            kind = "random" if state[0] == "chance" else state[0]
            self.outside.done(state, Touch(deed.step, deed.cell.position, line, kind))

    def _leave(self, deed: Deed) -> None:
        """What later cells may find."""
        left = {**deed.outcome.deletes, **deed.binds, **dict.fromkeys(deed.shell, 1)}
        for name, line in left.items():  # whoever reads a name that was deleted must find it so
            writer = _Writer(deed, line)
            if name in deed.kills:
                self.binders[name] = {deed.step: writer}
            else:
                self.binders.setdefault(name, {})[deed.step] = writer
        for number, line in deed.outcome.changed.items():
            self.changers[number] = _Writer(deed, line)
            self.handlers.pop(number, None)
            self.touched |= 1 << number
        for number, line in {**deed.outcome.handed, **deed.outcome.consumed}.items():
            self.handlers[number] = _Writer(deed, line)
            self.touched |= 1 << number
        for line in deed.analysis.trace.stars.values():
            self.stars.append(_Writer(deed, line))
        if deed.facts.everything:
            self.anyone, self.since = _Writer(deed, deed.outcome.everything), []
        elif deed.told.binds or deed.told.changes:
            self.since.append(deed)

    def _arrow(self, writer: _Writer, deed: Deed, name: str, line: int, *, maybe: bool) -> None:
        if writer.step != deed.step:
            arrow = self.made.setdefault((writer.step, deed.step, "value", maybe), _Arrow())
            arrow.names.setdefault(name, (writer.deed, writer.line, deed, line))
            self._after(writer.step, deed.step)

    def _order(self, touch: Touch, deed: Deed, line: int) -> None:
        """An arrow for outside state; one that others make sure of anyhow is not told, if it is in doubt."""
        if touch.step == deed.step or (touch.maybe and self.above[deed.step] >> touch.step & 1):
            return
        arrow = self.made.setdefault((touch.step, deed.step, "state", touch.maybe), _Arrow())
        arrow.names.setdefault(touch.kind, (touch, touch.line, deed, line))
        self._after(touch.step, deed.step)

    def _after(self, source: int, target: int) -> None:
        self.above[target] |= 1 << source | self.above[source]

    def orders(self) -> None:
        """Arrows for ``after`` marks; names that are no earlier step are told elsewhere."""
        for number, step in enumerate(self.steps):
            for name in step.options.after:
                if self.places.get(name, number) < number:
                    self.made.setdefault((self.places[name], number, "order", False), _Arrow())

    def flows(self) -> tuple[Flow, ...]:
        """The arrows, each once: what is in doubt is not told where the same is certain."""
        out = []
        for (source, target, kind, maybe), arrow in sorted(
            self.made.items(),
            key=lambda item: (item[0][1], item[0][0], item[0][2] == "state", item[0][2], item[0][3]),
        ):
            certain = self.made.get((source, target, kind, False)) if maybe else None
            names = sorted(name for name in arrow.names if certain is None or name not in certain.names)
            if not names and kind != "order":
                continue
            written, read = arrow.whys(names)
            out.append(
                Flow(
                    source=self.steps[source].name,
                    target=self.steps[target].name,
                    kind=kind,  # type: ignore[arg-type]
                    names=tuple(names),
                    written=written,
                    read=read,
                    maybe=maybe,
                )
            )
        return tuple(out)
