"""Conditions, loops, exceptions and matches: where a block's ways part and meet."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from functools import partial

from nbvertex.definitions import Definitions, last_name
from nbvertex.scopes import Loop, Place, meet
from nbvertex.trace import Value, join, part

SWALLOWERS = ("suppress", "raises", "ignore", "assertRaises")  # a `with` that may end its body early


class Control(Definitions):
    """Adds the statements that decide which way is taken."""

    def _if(self, node: ast.If) -> None:
        self.value(node.test)
        if isinstance(node.test, ast.Constant):
            self.block(node.body if node.test.value else node.orelse)
            return
        self.fork([lambda: self.block(node.body), lambda: self.block(node.orelse)])

    def _for(self, node: ast.For | ast.AsyncFor) -> None:
        if isinstance(node, ast.AsyncFor):
            self.awaits()
        value = self.value(node.iter)
        self.consume(value, node.lineno)

        def once() -> None:
            self.target(node.target, self.item(value, node.lineno), node.lineno)
            self.block(node.body)

        self._loop(once, node.orelse, endless=False)

    def _while(self, node: ast.While) -> None:
        endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        if isinstance(node.test, ast.Constant) and not node.test.value:
            self.block(node.orelse)
            return
        self.value(node.test)

        def once() -> None:
            self.block(node.body)
            if self.place.alive:
                self.value(node.test)

        self._loop(once, node.orelse, endless=endless)

    def _loop(self, once: Callable[[], None], orelse: Sequence[ast.stmt], *, endless: bool) -> None:
        """A loop's body: once, and again where names bind objects that its next round meets."""
        before = self.place
        loop = Loop()
        self.loops.append(loop)
        self.depth += 1
        self.place = before.copy()
        once()
        after = meet([before, self.place, *loop.continues])
        if not self.settling and _more(before, after):
            self.settling = True
            self.place = after.copy()
            once()
            after = meet([after, self.place, *loop.continues])
            self.settling = False
        self.loops.pop()
        for way in loop.breaks:  # a later round may have come here with more
            later = meet([way, after])
            way.env, way.gone = later.env, later.gone
        self.place = after.copy()
        if endless:
            self.place.alive = False
        self.block(orelse)
        self.depth -= 1
        self.meet(before, [self.place, *loop.breaks])

    def _break(self, node: ast.Break) -> None:
        if self.loops:
            self.loops[-1].breaks.append(self.place.copy())
        else:
            self.suspicious = True
        self.place.alive = False

    def _continue(self, node: ast.Continue) -> None:
        if self.loops:
            self.loops[-1].continues.append(self.place.copy())
        else:
            self.suspicious = True
        self.place.alive = False

    def _with(self, node: ast.With | ast.AsyncWith) -> None:
        if isinstance(node, ast.AsyncWith):
            self.awaits()
        swallows = False
        for item in node.items:
            value = self.value(item.context_expr)
            if value.at or value.within:
                self.emit("enter", value, node.lineno)
            if item.optional_vars is not None:
                self.target(item.optional_vars, join(value, part(value)), node.lineno)
            swallows = swallows or _swallows(item.context_expr)
        if swallows:
            self.fork([lambda: self.block(node.body), lambda: None])
        else:
            self.block(node.body)

    def _try(self, node: ast.Try | ast.TryStar) -> None:
        before = self.place
        guarded = any(_catches_names(handler) for handler in node.handlers)
        self.depth += 1
        self.place = before.copy()
        self.guards += guarded
        self.block(node.body)
        self.guards -= guarded
        thrown = self._thrown(before)
        if self.place.alive:
            self.block(node.orelse)
        ends = [self.place]
        for handler in node.handlers:
            self.place = thrown.copy()
            self._handler(handler)
            ends.append(self.place)
        self.depth -= 1
        if node.finalbody:
            self._finally(node, before, ends)
        else:
            self.meet(before, ends)

    def _thrown(self, before: Place) -> Place:
        """What is known where an exception has left a block: whatever it had bound by then."""
        env = dict(before.env)
        for name in self.place.env:
            if name in self.ever:
                env[name] = join(env[name], self.ever[name]) if name in env else self.ever[name]
        return Place(env, before.sure - frozenset(self.trace.deletes))

    def _handler(self, handler: ast.ExceptHandler) -> None:
        self.value(handler.type)
        if handler.name:
            caught = self.trace.new()
            self.emit("caught", caught)
            self.store(handler.name, Value(1 << caught), handler.lineno)
        self.block(handler.body)
        if handler.name:
            self.unbind(handler.name, handler.lineno)

    def _finally(self, node: ast.Try | ast.TryStar, before: Place, ends: Sequence[Place]) -> None:
        """``finally`` is run on every way out; what it binds, it binds after all of them."""
        self.depth += 1
        self.place = meet([self._thrown(before), *ends])
        self.block(node.finalbody)
        self.depth -= 1
        self.meet(before, ends)
        if self.place.alive:
            self.block(node.finalbody)

    def _match(self, node: ast.Match) -> None:
        subject = self.value(node.subject)
        ways: list[Callable[[], None]] = [partial(self._case, case, subject) for case in node.cases]
        if node.cases[-1].guard is not None or not _irrefutable(node.cases[-1].pattern):
            ways.append(lambda: None)
        self.fork(ways)

    def _case(self, case: ast.match_case, subject: Value) -> None:
        for node in ast.walk(case.pattern):
            match node:
                case (
                    ast.MatchAs(name=str(name))
                    | ast.MatchStar(name=str(name))
                    | ast.MatchMapping(rest=str(name))
                ):
                    self.store(name, join(subject, part(subject)), node.lineno)
                case ast.MatchValue(value=value) | ast.MatchClass(cls=value):
                    self.value(value)
                case ast.MatchMapping(keys=keys):
                    self.values(keys)
        self.value(case.guard)
        self.block(case.body)


def _swallows(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and last_name(node) in SWALLOWERS


def _catches_names(handler: ast.ExceptHandler) -> bool:
    """Whether a missing name is caught."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or last_name(kind) == "NameError" for kind in kinds)


def _irrefutable(pattern: ast.pattern) -> bool:
    match pattern:
        case ast.MatchAs(pattern=None):
            return True
        case ast.MatchAs(pattern=inner) if inner is not None:
            return _irrefutable(inner)
        case ast.MatchOr(patterns=patterns):
            return any(_irrefutable(one) for one in patterns)
    return False


def _more(before: Place, after: Place) -> bool:
    """Whether a loop's body leaves names with objects that its beginning did not know."""
    return any(
        (value.at or value.within) and before.env.get(name) != value for name, value in after.env.items()
    )
