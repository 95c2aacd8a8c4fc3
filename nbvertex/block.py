"""Names and scopes of one block of Python, and the ways that lead through it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence

from nbvertex.expressions import Expressions
from nbvertex.ipython_syntax import Trouble
from nbvertex.scopes import Bound, Layer, Loop, Place, meet
from nbvertex.trace import PLAIN, Trace, Value, join

SELF = Value(0, 1)  # in a function: what the function object itself holds, its closure and defaults


class Block(Expressions):
    """What is known while one block is walked through: a cell, or a function's body.

    Args:
        outer: the block around a function.
        own: the names that a function binds itself.
        future: annotations are not evaluated (``from __future__ import annotations``).
        walrus: some ``:=`` stands in the cell, so that expressions may bind names.
    """

    def __init__(
        self,
        outer: Block | None = None,
        own: Bound | None = None,
        *,
        future: bool = False,
        walrus: bool = True,
    ) -> None:
        self.trace = Trace()
        self.outer = outer
        self.own = own
        self.in_function = own is not None
        self.future = future
        self.walrus = walrus
        self.place = Place()
        self.ever: dict[str, Value] = {}
        self.layers: list[Layer] = []
        self.loops: list[Loop] = []
        self.captured: set[str] = set()
        self.closures: list[tuple[int, str]] = []
        # names of blocks around that the function binds anew, itself or by one in it
        self.rebound: set[str] = set()
        # own names that functions in the block bind anew: where that is to be found
        self.shared: dict[str, Value] = {}
        self.used: set[Value] = set()
        self.depth = 0  # how many conditions hold before this line is run
        self.guards = 0  # how many `try` round this line catch a missing name
        self.settling = False
        self.trouble: Trouble | None = None  # Python in a command that does not parse
        self.suspicious = False  # something that parses and may yet be no code
        self.shown = False
        self.guarded: set[str] = set()  # names loaded where a missing one does no harm
        self.unguarded: set[str] = set()
        self.class_globals: set[str] = set()  # declared `global` in the class body under way

    # names

    def load(self, name: str, line: int) -> Value:
        """What a name holds here; the global of that name where the block has not surely bound one."""
        found = self._layered(name)
        if found is not None:
            return found
        if self.own is not None:
            if name in self.own.names:
                value = self.place.env.get(name, PLAIN)
                return join(value, self.shared[name]) if name in self.shared else value
            if name not in self.own.globals and self._capture(name):
                return SELF
            return self._global(name, line)
        held = self.place.env.get(name)
        if name in self.place.sure or name in self.place.gone:
            return PLAIN if held is None else held
        entry = self._global(name, line)
        return entry if held is None else join(held, entry)

    def _global(self, name: str, line: int) -> Value:
        number = self.trace.names.get(name)
        if number is None:
            number = self.trace.names[name] = self.trace.new()
        self.trace.reads.setdefault(name, line)
        (self.guarded if self.guards else self.unguarded).add(name)
        return Value(1 << number)

    def _layered(self, name: str) -> Value | None:
        """What a comprehension or a class body around this place gives the name."""
        over = False
        for layer in reversed(self.layers):
            if name in layer.names and not (over and layer.is_class):
                return layer.names[name]
            over = True  # whatever lies over a class body does not see its names
        return None

    def owns(self, name: str) -> bool:
        """Whether a function defined here sees a name of this block that is no global."""
        if any(name in layer.names and not layer.is_class for layer in self.layers):
            return True
        return self.own is not None and (name in self.own.names or name in self.captured)

    def _capture(self, name: str) -> bool:
        """Whether the name belongs to a block around; the function then holds what it holds there."""
        if name in self.captured:
            return True
        outer = self.outer
        if name == "__class__" and outer is not None and any(layer.is_class for layer in outer.layers):
            self.captured.add(name)
            return True
        if outer is None or not (outer.owns(name) or (outer.own is not None and outer._capture(name))):
            return False
        self.captured.add(name)
        return True

    def store(self, name: str, value: Value, line: int) -> None:
        """Bind a name in the block, or in the class body under way."""
        if self.layers and self.layers[-1].is_class and name not in self.class_globals:
            self.layers[-1].put(name, value, sure=not self.depth)
            return
        if self.own is not None:
            if name in self.own.names:
                self.place.env[name] = value
                self.ever[name] = join(self.ever.get(name, PLAIN), value)
                return
            if name in self.own.nonlocals or self.owns(name):
                self.rebound.add(name)
                self.emit("change", SELF, line)
                self.keep(Value(1), value)
                return
        self.place.env[name] = value
        self.place.sure |= {name}
        self.place.gone -= {name}
        self.ever[name] = join(self.ever[name], value) if name in self.ever else value
        self.trace.binds.setdefault(name, line)
        self.emit("bind", name, value, line, not self.depth and self.own is None)

    def unbind(self, name: str, line: int) -> None:
        if self.layers and self.layers[-1].is_class:
            self.layers[-1].names.pop(name, None)
            return
        self.place.env.pop(name, None)
        if self.own is not None and name in self.own.names:
            return
        self.place.sure -= {name}
        self.place.gone |= {name}
        self.trace.deletes.setdefault(name, line)
        self.emit("unbind", name, line, not self.depth and self.own is None)

    # ways

    def perhaps(self, *ways: Callable[[], Value]) -> Value:
        """The value of one of several ways, of which nobody knows which is taken."""
        if not self.walrus:  # nothing can be bound, so nothing needs to be kept apart
            out = ways[0]()
            for way in ways[1:]:
                out = join(out, way())
            return out
        values: list[Value] = []
        self.fork([lambda way=way: values.append(way()) for way in ways])  # type: ignore[misc]
        out = values[0]
        for value in values[1:]:
            out = join(out, value)
        return out

    def fork(self, ways: Iterable[Callable[[], object]]) -> None:
        """Go several ways from here, and on from where they meet."""
        before = self.place
        ends: list[Place] = []
        self.depth += 1
        for way in ways:
            self.place = before.copy()
            way()
            ends.append(self.place)
        self.depth -= 1
        self.meet(before, ends)

    def meet(self, before: Place, ends: Sequence[Place]) -> None:
        """Go on where ways come together; what all have bound is bound for certain."""
        self.place = meet(ends)
        if self.depth or self.own is not None or self.layers:
            return
        for name in sorted(self.place.sure - before.sure):
            self.emit("bind", name, self.place.env[name], self.trace.binds[name], True)

    def block(self, body: Sequence[ast.stmt]) -> None:
        """Walk through statements."""
        raise NotImplementedError

    def enclose(self, number: int, name: str) -> None:
        """A function holds what a name of the block around it holds."""
        if self.own is not None and name in self.captured:
            self.hold(number, SELF)
        found = self._layered(name)
        if found is not None:
            self.hold(number, found)
        elif name in self.ever:
            self.hold(number, self.ever[name])

    # the end

    def finish(self) -> None:
        """What is known only when the whole block was seen."""
        for number, name in self.closures:
            self.enclose(number, name)
        self.trace.sure, self.trace.gone = self.place.sure, self.place.gone
        self.trace.left = frozenset(self.place.env)
        self.trace.optional = self.guarded - self.unguarded
        if self.own is not None:
            self.trace.needs = {**self.trace.needs, **self.trace.reads}
