"""Expressions become events: who is used, called, held and handed on while they are evaluated."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from nbvertex.scopes import Layer
from nbvertex.trace import PLAIN, Call, Partly, Trace, Value, dotted, join, part

NAMESPACES = frozenset(  # attributes by which code gets at the names around it
    "__globals__ f_globals f_locals f_back tb_frame gi_frame cr_frame".split()
)
_FINDERS = (("get",), ("import_module",))  # `sys.modules.get(__name__)`


class Expressions:
    """Evaluates expressions; what names mean, and what statements do, is told by the class built on it."""

    trace: Trace
    layers: list[Layer]
    shown: bool  # the expression statement under way is shown, not thrown away

    def load(self, name: str, line: int) -> Value:
        raise NotImplementedError

    def store(self, name: str, value: Value, line: int) -> None:
        raise NotImplementedError

    def command(self, node: ast.Call) -> Value | None:
        raise NotImplementedError

    def function(self, node: ast.Lambda) -> Value:
        raise NotImplementedError

    def perhaps(self, *ways: Callable[[], Value]) -> Value:
        raise NotImplementedError

    def awaits(self) -> None:
        raise NotImplementedError

    def emit(self, *event: Any) -> None:
        self.trace.events.append(event)

    def use(self, value: Value, line: int) -> Value:
        """Note that a value is looked at; once for each is enough."""
        if (value.at or value.within or value.path) and value not in self.used:
            self.used.add(value)
            self.emit("use", value, line)
        return value

    used: set[Value]

    def hold(self, holder: int, value: Value) -> None:
        if value.at or value.within:
            self.emit("hold", Value(1 << holder), value)

    def fresh(self, kind: str, *held: Value) -> Value:
        """A new object of a known type that holds others."""
        number = self.trace.new(kind)
        for value in held:
            self.hold(number, value)
        return Value(1 << number)

    def value(self, node: ast.expr | None) -> Value:
        """What an expression may evaluate to."""
        if node is None:
            return PLAIN
        return self._visitors.get(type(node), Expressions._parts)(self, node)

    def values(self, nodes: Sequence[ast.expr | None]) -> list[Value]:
        return [self.value(node) for node in nodes]

    # names, attributes, items

    def _constant(self, node: ast.Constant) -> Value:
        if node.value == "__main__":  # the notebook's own module, asked for by name
            self.emit("everything", node.lineno)
        return PLAIN

    def _name(self, node: ast.Name) -> Value:
        return self.use(self.load(node.id, node.lineno), node.lineno)

    def _attribute(self, node: ast.Attribute) -> Value:
        root, names = self.chain(node)
        if not NAMESPACES.isdisjoint(names):
            self.emit("everything", node.lineno)
        return self.use(dotted(root, names), node.lineno)

    def chain(self, node: ast.expr) -> tuple[Value, tuple[str, ...]]:
        """A dotted name as its beginning and the attributes."""
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        names.reverse()
        root = self.load(node.id, node.lineno) if isinstance(node, ast.Name) else self.value(node)
        return root, tuple(names)

    def _subscript(self, node: ast.Subscript) -> Value:
        value = self.value(node.value)
        if _own_name(node.slice):  # sys.modules[__name__]
            self.emit("everything", node.lineno)
        self.value(node.slice)
        return self.item(value, node.lineno)

    def item(self, value: Value, line: int) -> Value:
        """Something inside a container."""
        if not value.at and not value.within:
            return PLAIN
        number = self.trace.new()
        self.emit("item", number, value, line)
        return Value(1 << number)

    def _slice(self, node: ast.Slice) -> Value:
        self.values([node.lower, node.upper, node.step])
        return PLAIN

    def _starred(self, node: ast.Starred) -> Value:
        value = self.value(node.value)
        self.consume(value, node.lineno)
        return self.item(value, node.lineno)

    def consume(self, value: Value, line: int) -> None:
        if value.at or value.within:
            self.emit("consume", value, line)

    # operators

    def compute(self, operands: Sequence[Value], line: int, *, holds: bool) -> Value:
        """What an operator makes: plain if all it works on is plain."""
        if not any(value.at or value.within or value.path for value in operands):
            return PLAIN
        number = self.trace.new()
        self.emit("compute", number, tuple(operands), holds, line)
        return Value(1 << number)

    def _binary(self, node: ast.BinOp) -> Value:
        return self.compute([self.value(node.left), self.value(node.right)], node.lineno, holds=True)

    def _unary(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        return PLAIN if isinstance(node.op, ast.Not) else self.compute([value], node.lineno, holds=False)

    def _compare(self, node: ast.Compare) -> Value:
        operands = []
        for operator, side in zip((None, *node.ops), (node.left, *node.comparators), strict=True):
            if isinstance(side, ast.Constant):  # `__name__ == "__main__"` asks for no names
                continue
            operands.append(self.value(side))
            if isinstance(operator, ast.In | ast.NotIn):
                self.consume(operands[-1], node.lineno)
        return self.compute(operands, node.lineno, holds=False)

    def _boolean(self, node: ast.BoolOp) -> Value:
        out = self.value(node.values[0])
        for other in node.values[1:]:
            out = join(out, self.perhaps(lambda other=other: self.value(other), lambda: PLAIN))  # type: ignore[misc]
        return out

    def _either(self, node: ast.IfExp) -> Value:
        self.value(node.test)
        return self.perhaps(lambda: self.value(node.body), lambda: self.value(node.orelse))

    def _text(self, node: ast.JoinedStr) -> Value:
        for piece in node.values:
            if isinstance(piece, ast.FormattedValue):
                self.value(piece.value)
                self.value(piece.format_spec)
        return PLAIN

    def _parts(self, node: ast.expr) -> Value:
        """Any other expression, whose parts are looked at and nothing else is known."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child)
        return PLAIN

    # containers

    def _sequence(self, node: ast.List | ast.Tuple | ast.Set) -> Value:
        held = self.values(node.elts)
        if isinstance(node, ast.Tuple) and not any(value.at or value.within for value in held):
            return PLAIN
        return self.fresh(type(node).__name__.lower() + "()", *held)

    def _dict(self, node: ast.Dict) -> Value:
        held = self.values(node.keys)
        for key, value in zip(node.keys, self.values(node.values), strict=True):
            held.append(part(value) if key is None else value)
        return self.fresh("dict()", *held)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Value:
        layer = Layer()
        source = self.value(node.generators[0].iter)
        self.layers.append(layer)
        held: list[Value] = []

        def inside() -> Value:
            nonlocal source
            for number, generator in enumerate(node.generators):
                if number:
                    source = self.value(generator.iter)
                if generator.is_async:
                    self.awaits()
                self.consume(source, node.lineno)
                self.target(generator.target, self.item(source, node.lineno), node.lineno, layer)
                self.values(generator.ifs)
            if isinstance(node, ast.DictComp):
                held.extend((self.value(node.key), self.value(node.value)))
            else:
                held.append(self.value(node.elt))
            return PLAIN

        self.perhaps(inside, lambda: PLAIN)
        self.layers.pop()
        kind = {ast.ListComp: "list()", ast.SetComp: "set()", ast.DictComp: "dict()"}
        return self.fresh(kind.get(type(node), "generator()"), *held)

    def target(self, node: ast.expr, value: Value, line: int, layer: Layer | None = None) -> None:
        """Bind what stands left of ``=``, behind ``for``, behind ``as``."""
        match node:
            case ast.Name() if layer is not None:
                layer.put(node.id, value, sure=True)
            case ast.Name():
                self.store(node.id, value, node.lineno)
            case ast.Tuple() | ast.List():
                self.consume(value, line)
                inside = self.item(value, line)
                for element in node.elts:
                    self.target(element, inside, line, layer)
            case ast.Starred():
                self.target(node.value, self.fresh("list()", value), line, layer)
            case ast.Attribute():
                root, names = self.chain(node.value)
                holder = self.use(dotted(root, names), node.lineno)
                self.emit("change", holder, node.lineno)
                self.keep(holder, value)
            case ast.Subscript():
                holder = self.value(node.value)
                self.value(node.slice)
                self.emit("change", holder, node.lineno)
                self.keep(holder, value)

    def keep(self, holder: Value, value: Value) -> None:
        """A value is put into an object."""
        if value.at or value.within:
            self.emit("hold", holder, value)

    # the rest

    def _named(self, node: ast.NamedExpr) -> Value:
        value = self.value(node.value)
        self.store(node.target.id, value, node.lineno)
        return value

    def _lambda(self, node: ast.Lambda) -> Value:
        return self.function(node)

    def _await(self, node: ast.Await) -> Value:
        self.awaits()
        return self.value(node.value)

    def _yield(self, node: ast.Yield) -> Value:
        self.trace.returns = join(self.trace.returns, self.value(node.value))
        return PLAIN

    def _yield_from(self, node: ast.YieldFrom) -> Value:
        value = self.value(node.value)
        self.consume(value, node.lineno)
        self.trace.returns = join(self.trace.returns, part(value))
        return PLAIN

    def _call(self, node: ast.Call) -> Value:
        dropped, self.shown = not self.shown and node is self.statement, False
        told = self.command(node)
        if told is not None:
            return told
        root, names = self.chain(node.func)
        if not NAMESPACES.isdisjoint(names) or (names[-1:] in _FINDERS and any(map(_own_name, node.args))):
            self.emit("everything", node.lineno)
        self.use(dotted(root, names[:-1]), node.lineno)
        args = tuple(self.values(node.args))
        keywords = {word.arg or "": self.value(word.value) for word in node.keywords}
        base: ast.expr = node.func
        while isinstance(base, ast.Attribute):
            base = base.value
        return self.call(
            root,
            names,
            args,
            keywords,
            constants=_constants(node),
            starred=any(isinstance(arg, ast.Starred) for arg in node.args) or "" in keywords,
            dropped=dropped,
            line=node.lineno,
            root_name=base.id if isinstance(base, ast.Name) else "",
        )

    statement: ast.expr | None = None

    def call(
        self,
        root: Value,
        names: tuple[str, ...],
        args: tuple[Value, ...],
        keywords: dict[str, Value] | None = None,
        *,
        line: int,
        constants: dict[int | str, Any] | None = None,
        starred: bool = False,
        dropped: bool = False,
        decorates: bool = False,
        root_name: str = "",
    ) -> Value:
        """Note a call; its result gets a number of its own."""
        result = self.trace.new()
        call = Call(
            root, names, args, keywords or {}, constants or {}, starred, dropped, decorates, result, line, root_name,
            self.in_function, bool(self.depth),
        )  # fmt: skip
        self.emit("call", call)
        return Value(1 << result)

    in_function: bool = False
    depth: int  # how many conditions hold before this line is run

    _visitors: ClassVar[dict[type[ast.AST], Callable[[Any, Any], Value]]] = {
        ast.Constant: _constant,
        ast.Name: _name,
        ast.Attribute: _attribute,
        ast.Subscript: _subscript,
        ast.Slice: _slice,
        ast.Starred: _starred,
        ast.BinOp: _binary,
        ast.UnaryOp: _unary,
        ast.Compare: _compare,
        ast.BoolOp: _boolean,
        ast.IfExp: _either,
        ast.JoinedStr: _text,
        ast.List: _sequence,
        ast.Tuple: _sequence,
        ast.Set: _sequence,
        ast.Dict: _dict,
        ast.ListComp: _comprehension,
        ast.SetComp: _comprehension,
        ast.DictComp: _comprehension,
        ast.GeneratorExp: _comprehension,
        ast.NamedExpr: _named,
        ast.Lambda: _lambda,
        ast.Await: _await,
        ast.Yield: _yield,
        ast.YieldFrom: _yield_from,
        ast.Call: _call,
    }


def _own_name(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "__name__"


def _constants(node: ast.Call) -> dict[int | str, Any]:
    """The arguments that are literals."""
    out: dict[int | str, Any] = {}
    places: list[tuple[int | str, ast.expr]] = [
        *enumerate(node.args),
        *((word.arg, word.value) for word in node.keywords if word.arg),
    ]
    for place, arg in places:
        if isinstance(arg, ast.Constant):
            out[place] = arg.value
        elif isinstance(arg, ast.JoinedStr):
            out[place] = Partly(
                "\0".join(str(piece.value) for piece in arg.values if isinstance(piece, ast.Constant))
            )
    return out
