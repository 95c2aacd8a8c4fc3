"""Calls, played: functions of the notebook by what their bodies do, others by what is known of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nbvertex import library, methods
from nbvertex.effects import UNKNOWN, Effect, Given
from nbvertex.ipython_commands import names_in
from nbvertex.stage import Stage, bits
from nbvertex.trace import PLAIN, Call, Function, Value, join, part

DEEPEST = 12  # calls within calls that are followed one by one
MOST = 200  # calls of a cell that are
NESTED = 2  # special methods within special methods that are


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a call gives, in the stage's objects."""

    args: Sequence[Value]
    words: Mapping[str, Value]
    starred: bool
    line: int
    decorates: bool = False
    branch: bool = False

    @property
    def all(self) -> Value:
        out = PLAIN
        for value in (*self.args, *self.words.values()):
            out = join(out, Value(value.at, value.within))
        return out


class Calls:
    """Performs the calls of a trace.

    Args:
        stage: where it is played.
        line: the line of the cell that the whole trace belongs to; 0 for the cell's own.
        depth: how many calls deep.
        branch: the call that led here stands under a condition.
    """

    def __init__(self, stage: Stage, line: int, depth: int, *, branch: bool) -> None:
        self.stage = stage
        self.line = line
        self.depth = depth
        self.branch = branch

    def value(self, value: Value) -> Value:
        """A value of the trace in the stage's objects."""
        raise NotImplementedError

    def body(self, function: Function, memo: dict[int, Value], given: Arguments) -> Value:
        """Play a function's body; what it returns."""
        raise NotImplementedError

    def perform(self, call: Call) -> Value:
        """Play one call; what it returns."""
        names = call.names
        if call.root.path.startswith("."):  # a method that got a name: `add = xs.append; add(1)`
            names = (*call.root.path[1:].split("."), *names)
            root = self.value(call.root._replace(path=""))
        else:
            root = self.value(call.root)
        given = Arguments(
            [self.value(arg) for arg in call.args],
            {name: self.value(word) for name, word in call.keywords.items()},
            call.starred,
            self.line or call.line,
            call.decorates,
            call.branch or self.branch,
        )
        if root.path and not root.path.endswith("()"):
            path = ".".join((root.path, *names))
            if path in ("importlib.reload", "imp.reload"):
                self.stage.need_imported(given.line)
            self.stage.mortal = self.stage.mortal or path.startswith("weakref.")
            known = Given(len(call.args), frozenset(call.keywords), call.constants, call.root_name)
            if path in library.LOCAL and call.in_function:
                return PLAIN
            return self.apply(library.function(path, known), None, given, call)
        if names:
            receiver = root if len(names) == 1 else part(root)
            return self.method(receiver, names[-1], given, call)
        return self.invoke(root, given, call)

    # functions of the notebook

    def invoke(self, callee: Value, given: Arguments, call: Call) -> Value:
        """Call an object."""
        stage = self.stage
        if not callee.all:
            return self.apply(UNKNOWN, None, given, call)
        if not callee.within and not callee.at & ~stage.code:
            out = PLAIN
            for number in bits(callee.at):
                out = join(out, self.enter(number, given, call))
            return out
        if not callee.within and (found := self._methods(callee, "__call__")):
            return self._each(found, callee, given, call, certain=True)
        if stage.kind(callee) == "functools.partial()":
            return self._partial(callee, given, call)
        inside = stage.reach(callee.all) & stage.code
        if inside:
            stage.doubts += 1
            for number in bits(inside):
                self.enter(number, given, call)
            stage.doubts -= 1
        kind = stage.kind(callee)
        known = Given(len(call.args), frozenset(call.keywords), call.constants, call.root_name)
        effect = (
            methods.method(kind, "__call__", known, dropped=False)
            if kind and not stage.code & callee.at
            else UNKNOWN
        )
        return self.apply(effect, callee, given, call)

    def _partial(self, callee: Value, given: Arguments, call: Call) -> Value:
        """Call what a partial holds, with what it holds and what it is given."""
        stage = self.stage
        held = stage.holds[callee.at.bit_length() - 1]
        inside = Value(held & ~stage.code | given.all.at, given.all.within)
        out = PLAIN
        for number in bits(held & stage.code):
            out = join(out, self.enter(number, Arguments([inside], {}, True, given.line), call))
        return out if held & stage.code else self.apply(UNKNOWN, callee, given, call)

    def enter(self, number: int, given: Arguments, call: Call) -> Value:
        """Call a function, or make an instance of a class."""
        if number in self.stage.functions:
            return self.function(number, given)
        instance = Value(1 << self.stage.new("", holds=1 << number))
        found = self._methods(instance, "__init__") | self._methods(instance, "__post_init__")
        if found:
            self._each(found, instance, given, call, certain=True)
        self.stage.hold(instance, given.all)
        return instance

    def function(self, number: int, given: Arguments, receiver: Value | None = None) -> Value:
        """Call a function of the notebook: play its body with what it is given.

        A call in doubt, or one of very many, is played once for all of its like, with arguments unknown.
        """
        stage = self.stage
        function = stage.functions[number]
        args = [receiver, *given.args] if receiver is not None and function.bound else list(given.args)
        memo = _parameters(function, number, args, given)
        anything = Value(0, given.all.all | (receiver.all if receiver is not None else 0) | 1 << number)
        if number in stage.active:
            return anything
        if self.depth >= DEEPEST:  # what it does besides is played later, from the cell itself
            stage.hand(anything, given.line)
            stage.pending.append((number, given.line))
            return Value(0, anything.within | stage.carries(number))
        if stage.doubts or stage.plays >= MOST:
            stage.hand(anything, given.line)
            if number in stage.guessed:
                return join(anything, Value(0, stage.guessed[number]))
            stage.guessed[number] = 0
            memo = dict.fromkeys(memo, anything)
        stage.plays += 1
        stage.active.add(number)
        for name in function.trace.needs:
            stage.need(name, given.line, called=name in function.trace.reads and not stage.doubts)
        out = self.body(function, memo, given)
        stage.active.discard(number)
        if number in stage.guessed:
            stage.guessed[number] |= out.all
        if function.generator:
            return Value(1 << stage.new("generator()", holds=out.all | given.all.all))
        return out

    def _methods(self, receiver: Value, name: str) -> int:
        """The methods of that name in the notebook's classes that an object may belong to."""
        stage = self.stage
        if not stage.classes:
            return 0
        mask = 0
        for number in bits(receiver.all):
            if number in stage.classes or stage.types[number] in ("", "type()"):
                mask |= 1 << number
        found = 0
        for number in bits(stage.reach(mask) & stage.code):
            found |= 1 << stage.classes[number][name] if name in stage.classes.get(number, ()) else 0
        return found

    def operate(self, value: Value, line: int, others: int = 0) -> int:
        """Operators, loops and attributes run special methods of the notebook's classes; what those return.

        Args:
            value: the object that is worked on.
            line: where.
            others: further objects that they are given.
        """
        stage = self.stage
        methods = 0
        for number in bits(stage.reach(value.all) & stage.code) if stage.classes and value.all else ():
            methods |= stage.special.get(number, 0)
        if not methods:
            return 0
        out = stage.operated.get((methods, others))
        if out is None and stage.operating >= NESTED:
            return self._unplayed(methods, value, others, line)
        if out is None:
            out = stage.operated[methods, others] = 0
            stage.doubts += 1
            stage.operating += 1
            for number in bits(methods):
                out |= self._operator(number, value, others, line)
            stage.operating -= 1
            stage.doubts -= 1
            stage.operated[methods, others] = out
        for number in bits(value.all):
            stage.link(number, out, perhaps=True)
        return out

    def _unplayed(self, methods: int, value: Value, others: int, line: int) -> int:
        """Special methods run by special methods run by others: what they need is known, not what they do."""
        stage = self.stage
        for number in bits(methods):
            for name in stage.functions[number].trace.needs:
                stage.need(name, line, called=False)
        stage.hand(Value(0, value.all | others), line)
        return value.all | others

    def _operator(self, number: int, value: Value, others: int, line: int) -> int:
        """One special method; what it returns."""
        stage = self.stage
        if number in stage.active or self.depth >= DEEPEST:
            return 0
        function = stage.functions[number]
        memo = dict.fromkeys(range(len(function.trace.parameters) + 1), Value(0, others | 1 << number))
        memo[1] = Value(0, value.all)
        for name in function.trace.needs:
            stage.need(name, line, called=False)
        stage.active.add(number)
        out = self.body(function, memo, Arguments((), {}, False, line))
        stage.active.discard(number)
        return out.all

    def _each(self, found: int, receiver: Value, given: Arguments, call: Call, *, certain: bool) -> Value:
        stage = self.stage
        stage.doubts += not certain
        out = PLAIN
        for number in bits(found):
            if number in stage.functions:
                out = join(out, self.function(number, given, receiver))
            else:
                out = join(out, self.enter(number, given, call))
        stage.doubts -= not certain
        return out

    # everything else

    def method(self, receiver: Value, name: str, given: Arguments, call: Call) -> Value:
        """Call a method of an object."""
        stage = self.stage
        if receiver.path == "" and not receiver.all:  # a number or a string
            return self.apply(Effect("plain", args="consume"), None, given, call)
        kind = stage.kind(receiver)
        found = self._methods(receiver, name) if kind in ("", "type()") else 0
        if found:
            certain = not receiver.within and found & (found - 1) == 0
            out = self._each(found, receiver, given, call, certain=certain)
            if certain:
                return out
        known = Given(len(call.args), frozenset(call.keywords), call.constants, call.root_name)
        effect = methods.method(kind, name, known, dropped=call.dropped)
        return self.apply(effect, receiver, given, call)

    def apply(self, effect: Effect, receiver: Value | None, given: Arguments, call: Call) -> Value:
        """Do what a call is known to do."""
        stage, line = self.stage, given.line
        everything = given.all
        unsure = bool(call.branch or self.branch or stage.doubts)
        stage.state(effect.state, line, unsure=unsure)
        if effect.everything:
            stage.now.everything = stage.now.everything or line
        if effect.definitions:
            stage.need_definitions(line)
        if effect.expressions is not None:
            text = str(call.constants.get(effect.expressions, ""))
            stage.now.expressions |= set(_MARKED.findall(text) if effect.marked else words_in(text))
        if receiver is not None and effect.receiver == "change":
            stage.change(receiver, line)
        elif receiver is not None and effect.receiver == "hand":
            stage.hand(receiver, line)
        self._arguments(effect, given)
        if effect.stores:
            holder = receiver if receiver is not None else _pick(effect.changes[0], given)
            self._store(holder, given, certain=effect.result in ("plain", "part"))
        elif effect.args == "hand" and receiver is not None:
            self._store(receiver, given, certain=False)
        called = 0
        if effect.calls and not given.decorates:
            called = self._call_back(given, call, certain=effect is not UNKNOWN)
        return self._result(effect, receiver, everything, called)

    def _arguments(self, effect: Effect, given: Arguments) -> None:
        """What happens to what a call is given."""
        stage, line = self.stage, given.line
        for value in (*given.args, *given.words.values()):
            if effect.args == "hand":
                stage.hand(value, line)
            elif effect.args == "consume":
                stage.consume(value, line)
        for place in effect.changes:
            if given.starred and isinstance(place, int):
                stage.change(given.all, line)
            elif given.starred and place not in given.words:
                stage.hand(given.words.get("", PLAIN), line)
            else:
                stage.change(_pick(place, given), line)

    def _store(self, holder: Value, given: Arguments, *, certain: bool) -> None:
        """An object keeps what a call gives it."""
        mask = given.all.all & ~self.stage.parts  # what a part is part of, is given with it
        for number in bits(holder.all):
            self.stage.link(number, mask, perhaps=not certain)

    def _call_back(self, given: Arguments, call: Call, *, certain: bool) -> int:
        """Functions that are given to a call are called by it, as far as anybody can tell; what they return."""
        stage = self.stage
        out = self._bound_methods(given, call)
        if not stage.code:
            return out
        mask = given.all.all
        for value in (*given.args, *given.words.values()):
            direct = value.at & stage.code
            hidden = (value.within if certain else stage.reach(value.all)) & stage.code & ~direct
            for numbers, doubt in ((direct, 0), (hidden, 1)):
                stage.doubts += doubt
                for number in bits(numbers):
                    inside = Arguments(
                        [Value(0, mask & ~(1 << number))], {}, True, given.line, branch=given.branch
                    )
                    out |= self.enter(number, inside, call).all
                stage.doubts -= doubt
        return out

    def _bound_methods(self, given: Arguments, call: Call) -> int:
        """The same for methods that are given (``map(xs.append, ys)``)."""
        out = 0
        for value in (*call.args, *call.keywords.values()):
            name = value.path.rpartition(".")[2]
            if not value.path.startswith(".") or not value.at:
                continue
            receiver = self.value(value._replace(path=""))
            if not receiver.all or not (name in methods.CHANGES or self._methods(receiver, name)):
                continue
            alone = call._replace(args=(), keywords={}, constants={}, dropped=False)
            rest = Arguments([Value(0, given.all.all)], {}, True, given.line, branch=given.branch)
            receiver = part(receiver) if value.path.count(".") > 1 else receiver
            out |= self.method(receiver, name, rest, alone).all
        return out

    def _result(self, effect: Effect, receiver: Value | None, given: Value, called: int) -> Value:
        """What a call returns, where functions that it was given returned some objects."""
        stage = self.stage
        mask = given.all | (receiver.all if receiver is not None else 0)
        match effect.result:
            case "plain":
                return PLAIN
            case "new":
                return Value(1 << stage.new(effect.type, perhaps=called))
            case "holds":
                return Value(1 << stage.new(effect.type, holds=mask | called))
            case "perhaps":
                return Value(1 << stage.new(effect.type, perhaps=mask | called))
            case "part":
                return stage.part((receiver.all if receiver is not None else mask) | called)
            case "self":
                return receiver if receiver is not None else given


_MARKED = re.compile(r"@([A-Za-z_]\w*)")


def words_in(text: str) -> Sequence[str]:
    """The names that some text may load, in whatever little language it is."""
    return names_in(text) or re.findall(r"\b([A-Za-z_]\w*)\b", text)


def _pick(place: int | str, given: Arguments) -> Value:
    if isinstance(place, int):
        return given.args[place] if place < len(given.args) else PLAIN
    return given.words.get(place, PLAIN)


def _parameters(function: Function, number: int, args: Sequence[Value], given: Arguments) -> dict[int, Value]:
    """What a function's parameters are in a call; 0 is the function itself."""
    own = Value(1 << number)
    numbers = function.trace.parameters
    memo = {0: own}
    anything = PLAIN
    for value in (*args, *given.words.values()):
        anything = join(anything, Value(value.at, value.within))
    for parameter, place in numbers.items():
        if given.starred or parameter in function.rest:
            memo[place] = Value(anything.at, anything.within | own.at) if given.starred else part(anything)
        elif parameter in given.words:
            memo[place] = given.words[parameter]
        elif parameter in function.positional and function.positional.index(parameter) < len(args):
            memo[place] = args[function.positional.index(parameter)]
        else:
            memo[place] = Value(0, own.at)  # its default, which the function holds
    return memo
