"""Traces are played on a stage, event by event."""

from __future__ import annotations

from nbvertex.calls import Arguments, Calls
from nbvertex.effects import updates
from nbvertex.ipython_commands import HARMLESS
from nbvertex.methods import ARRAY, FRAMES, SHELL
from nbvertex.stage import LITERALS, Outcome, Stage, bits
from nbvertex.trace import PLAIN, Event, Function, Trace, Value

COPYING = FRAMES | {ARRAY}  # what is put into these is copied, if it is one of them
_ROWS = (".loc", ".iloc", ".at", ".iat", ".xs", ".values")


def play(stage: Stage, trace: Trace) -> Outcome:
    """Play a cell: the stage is as after it, and what it did is returned."""
    now = stage.now = Outcome()
    stage.raised = 0
    stage.woken, stage.guessed, stage.operated, stage.plays = set(), {}, {}, 0
    for name, line in trace.reads.items():
        if not stage.is_builtin(name):
            now.reads[name] = line
            now.given[name] = stage.lookup(name)
    frame = Frame(stage, trace, {})
    frame.run()
    while stage.pending:
        number, line = stage.pending.pop()
        if number not in stage.guessed:
            stage.doubts += 1
            frame.function(number, Arguments((), {}, True, line))
            stage.doubts -= 1
    for name in trace.gone:
        stage.env.pop(name, None)
    now.sure = set(trace.sure)
    for name in trace.needs:
        stage.need(name, 0, called=False)
    defined = 0
    for number in (*trace.functions, *trace.classes):
        if number in frame.memo:
            defined |= frame.memo[number].at
    stage.wake(defined, 0)
    return now


class Frame(Calls):
    """One trace on the stage.

    Args:
        stage: where it is played.
        trace: of a cell or a function.
        memo: what the trace's objects are on the stage, as far as that is known.
        line: of the call in the cell; 0 for the cell itself.
        depth: how many calls deep.
        branch: under a condition.
    """

    def __init__(
        self,
        stage: Stage,
        trace: Trace,
        memo: dict[int, Value],
        *,
        line: int = 0,
        depth: int = 0,
        branch: bool = False,
    ) -> None:
        super().__init__(stage, line, depth, branch=branch)
        self.trace = trace
        self.memo = memo
        self.names = {number: name for name, number in trace.names.items()}

    def value(self, value: Value) -> Value:
        """A value of the trace in the stage's objects."""
        at, within, path = value
        if not within and not path and not at & (at - 1):  # the common case: one object, or none
            number = at.bit_length() - 1
            return (self.memo.get(number) or self._first(number)) if at else value
        at = within = 0
        relative = path.startswith(".")
        for number in bits(value.at):
            known = self.memo.get(number) or self._first(number)
            if relative:
                if known.path and not known.path.endswith("()"):
                    return Value(path=known.path + path)
                within |= known.all
            else:
                path = known.path or path
                at |= known.at
                within |= known.within
        for number in bits(value.within):
            within |= (self.memo.get(number) or self._first(number)).all
        return Value(at, within, "" if relative else path)

    def _first(self, number: int) -> Value:
        """An object of the trace that turns up for the first time."""
        known = self.memo.get(number)
        if known is None:
            name = self.names.get(number)
            if name is not None:
                known = self.stage.lookup(name)
            else:
                known = Value(1 << self.stage.new(self.trace.types.get(number, "")))
            self.memo[number] = known
        return known

    def body(self, function: Function, memo: dict[int, Value], given: Arguments) -> Value:
        frame = Frame(
            self.stage, function.trace, memo, line=given.line, depth=self.depth + 1, branch=given.branch
        )
        frame.run()
        return frame.value(function.trace.returns)

    def run(self) -> None:
        """Play every event."""
        players = self._players
        for event in self.trace.events:
            players[event[0]](self, event)

    def _at(self, line: int) -> int:
        return self.line or line

    def _use(self, event: Event) -> None:
        _, value, line = event
        of_the_shell = value.path.startswith(".") and value.path.split(".")[1] not in HARMLESS
        if of_the_shell and self.stage.kind(self.value(value._replace(path=""))) == SHELL:
            self.stage.now.everything = self.stage.now.everything or self._at(line)
            self.stage.state(updates("ipython"), self._at(line))
        known = self.value(value)
        self.stage.use(known, self._at(line))
        self.operate(known, self._at(line))

    def _call(self, event: Event) -> None:
        self.memo[event[1].result] = self.perform(event[1])

    def _bind(self, event: Event) -> None:
        _, name, value, line, sure = event
        self.stage.bind(name, self.value(value), self._at(line), sure=sure and not self.line)

    def _unbind(self, event: Event) -> None:
        _, name, line, sure = event
        self.stage.unbind(name, self._at(line), sure=sure and not self.line)

    def _hold(self, event: Event) -> None:
        holder, value = self.value(event[1]), self.value(event[2])
        copied = self.stage.kind(holder) in COPYING and self.stage.kind(value) in COPYING
        if not copied:
            self.stage.hold(holder, value)

    def _change(self, event: Event) -> None:
        value = self.value(event[1])
        self.operate(value, self._at(event[2]))
        self.stage.change(value, self._at(event[2]))

    def _consume(self, event: Event) -> None:
        value = self.value(event[1])
        self.operate(value, self._at(event[2]))
        self.stage.consume(value, self._at(event[2]))

    def _enter(self, event: Event) -> None:
        value = self.value(event[1])
        if self.stage.kind(value) != "open()":
            self.stage.hand(Value(value.at), self._at(event[2]))

    def _compute(self, event: Event) -> None:
        """An operator: what it makes of plain values is plain; arrays and frames give new ones."""
        _, number, operands, holds, line = event
        stage = self.stage
        mask, kinds = 0, set()
        values = [self.value(operand) for operand in operands]
        for value in values:
            mask |= value.all
            kinds.add(stage.kind(value))
        if not mask:
            self.memo[number] = PLAIN
            return
        kind = next((kind for kind in kinds if kind in FRAMES or kind == ARRAY), "")
        out = 0
        for value in values if stage.classes else ():
            out |= self.operate(value, self._at(line), mask)
        made = stage.new(kind, holds=stage.content(mask) if holds and not kind else 0, perhaps=out)
        stage.sums |= 1 << made
        self.memo[number] = Value(1 << made)

    def _item(self, event: Event) -> None:
        """Something in a container: rows and columns of a frame are frames that may be views."""
        _, number, written, line = event
        stage = self.stage
        value = self.value(written)
        self.operate(value, self._at(line))
        base = self.value(written._replace(path="")) if written.path in _ROWS else value
        kind = stage.kind(base)
        if kind in FRAMES or kind == ARRAY:
            self.memo[number] = Value(1 << stage.new(kind, perhaps=base.at))
        elif kind == "open()" or (value.at and not value.within and not self._hides(value.at)):
            self.memo[number] = PLAIN
        else:
            self.memo[number] = stage.part(value.all)

    def _hides(self, mask: int) -> bool:
        """Whether there may be an object in some containers."""
        stage = self.stage
        if mask & stage.seen:
            return True
        for number in bits(mask):
            kind = stage.types[number]
            if kind not in LITERALS or stage.holds[number] | stage.perhaps[number]:
                return True
        return False

    def _define(self, event: Event) -> None:
        number = event[1]
        known = self._first(number).at.bit_length() - 1
        methods = {
            name: self._first(method).at.bit_length() - 1
            for name, method in self.trace.classes.get(number, {}).items()
        }
        self.stage.define(known, self.trace, number, methods)

    def _state(self, event: Event) -> None:
        self.stage.state((event[1:4],), self._at(event[4]))

    def _everything(self, event: Event) -> None:
        self.stage.now.everything = self.stage.now.everything or self._at(event[1])

    def _raise(self, event: Event) -> None:
        self.stage.raised |= self.value(event[1]).all

    def _caught(self, event: Event) -> None:
        """An exception holds what it was raised with, be it by code that cannot be seen."""
        stage = self.stage
        self.memo[event[1]] = Value(1 << stage.new(perhaps=stage.raised | stage.now.hands))

    def _show(self, event: Event) -> None:
        self.stage.now.shown = self.value(event[1])

    _players = {  # noqa: RUF012 - never changed
        "use": _use,
        "call": _call,
        "bind": _bind,
        "unbind": _unbind,
        "hold": _hold,
        "change": _change,
        "consume": _consume,
        "enter": _enter,
        "compute": _compute,
        "item": _item,
        "define": _define,
        "state": _state,
        "everything": _everything,
        "show": _show,
        "raise": _raise,
        "caught": _caught,
    }
