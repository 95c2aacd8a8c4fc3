"""Functions and classes of a notebook: their bodies become traces of their own."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from nbvertex.block import Block
from nbvertex.ipython_commands import names_in
from nbvertex.scopes import Bound, Layer, bound
from nbvertex.trace import PLAIN, Function, Value, join


class Definitions(Block):
    """Adds functions, classes and annotations to a block."""

    def annotation(self, node: ast.expr | None, late: dict[str, int] | None = None) -> None:
        """An annotation: evaluated, or kept as text that somebody may evaluate later."""
        if node is None:
            return
        texts = [n for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        late = self.trace.needs if late is None else late
        for text in texts:
            for name in names_in(str(text.value)):
                late.setdefault(name, text.lineno)
        if self.future:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name):
                    late.setdefault(inner.id, inner.lineno)
        else:
            self.value(node)

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        decorators = self.values(node.decorator_list)
        layer = self._type_parameters(node)
        late: dict[str, int] = {}
        every = [
            *node.args.posonlyargs,
            *node.args.args,
            *node.args.kwonlyargs,
            node.args.vararg,
            node.args.kwarg,
        ]
        for arg in every:
            self.annotation(arg.annotation if arg else None, late)
        self.annotation(node.returns, late)
        words = {last_name(decorator) for decorator in node.decorator_list}
        value = self._function(
            node.name, node.args, node.body,
            bound="staticmethod" not in words,
            by_load=bool(words & {"property", "cached_property", "setter", "getter"}),
            late=late,
        )  # fmt: skip
        if layer:
            self.layers.pop()
        self.store(node.name, self._decorated(value, decorators, node), node.lineno)

    def _decorated(
        self,
        value: Value,
        decorators: Sequence[Value],
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
    ) -> Value:
        for decorator, written in zip(reversed(decorators), reversed(node.decorator_list), strict=True):
            if last_name(written) not in ("property", "staticmethod", "classmethod", "dataclass"):
                made = self.call(decorator, (), (value,), line=written.lineno, decorates=True)
                self.keep(made, value)
                value = join(value, made)
        return value

    def function(self, node: ast.Lambda) -> Value:
        back = ast.copy_location(ast.Return(node.body), node.body)
        return self._function("<lambda>", node.args, [back])

    def _function(
        self,
        name: str,
        args: ast.arguments,
        body: Sequence[ast.stmt],
        *,
        bound: bool = True,
        by_load: bool = False,
        late: dict[str, int] | None = None,
    ) -> Value:
        """A function object; its body becomes a trace of its own."""
        defaults = self.values([*args.defaults, *args.kw_defaults])
        positional = tuple(arg.arg for arg in (*args.posonlyargs, *args.args))
        keyword = tuple(arg.arg for arg in args.kwonlyargs)
        rest = tuple(arg.arg for arg in (args.vararg, args.kwarg) if arg)
        inner = self._inner(body, (*positional, *keyword, *rest))
        for parameter, number in inner.trace.parameters.items():
            inner.place.env[parameter] = inner.ever[parameter] = Value(1 << number)
        inner.block(body)
        inner.finish()
        for missing, line in (late or {}).items():
            inner.trace.needs.setdefault(missing, line)
        if self.own is not None:
            for missing, line in inner.trace.needs.items():
                self.trace.needs.setdefault(missing, line)
        self.suspicious = self.suspicious or inner.suspicious
        self.trouble = self.trouble or inner.trouble
        number = self.trace.new("function()")
        self.trace.functions[number] = Function(
            name, inner.trace, positional, keyword, rest, bound, by_load, _yields(body)
        )
        for again in sorted(inner.rebound):
            if self.own is not None and again in self.own.names:
                self.shared[again] = join(self.shared.get(again, PLAIN), Value(0, 1 << number))
                self.ever[again] = join(self.ever.get(again, PLAIN), Value(0, 1 << number))
            else:
                self.rebound.add(again)
                self.hold(0, Value(1 << number))
        for default in defaults:
            self.hold(number, default)
        for captured in inner.captured:
            self.closures.append((number, captured))
            self.enclose(number, captured)
        self.emit("define", number)
        return Value(1 << number)

    def _inner(self, body: Sequence[ast.stmt], parameters: Sequence[str]) -> Definitions:
        own = bound(body)
        if own.globals or own.nonlocals or len(set(parameters)) < len(parameters):
            self.suspicious = True
        own = Bound(own.names | frozenset(parameters), own.globals, own.nonlocals)
        inner = type(self)(self, own, future=self.future, walrus=self.walrus)
        inner.trace.new("function()")  # object 0: the function itself
        inner.trace.parameters = {parameter: inner.trace.new() for parameter in parameters}
        inner.guarded, inner.unguarded = self.guarded, self.unguarded
        return inner

    def _class(self, node: ast.ClassDef) -> None:
        decorators = self.values(node.decorator_list)
        layer = self._type_parameters(node)
        bases = self.values(node.bases)
        bases += [self.value(word.value) for word in node.keywords]
        body = Layer({"__module__": PLAIN, "__qualname__": PLAIN}, is_class=True)
        kept, self.class_globals = self.class_globals, set()
        self.layers.append(body)
        self.block(node.body)
        self.layers.pop()
        self.class_globals = kept
        if layer:
            self.layers.pop()
        number = self.trace.new("type()")
        methods = self.trace.classes[number] = {}
        for name, value in body.names.items():
            self.hold(number, value)
            found = [n for n in self.trace.functions if value.at >> n & 1]
            if found:
                methods[name] = found[-1]
        for base in bases:
            if base.at or base.within:
                self.hold(number, base)
                self.call(base, ("__init_subclass__",), (Value(1 << number),), line=node.lineno)
        for method, name in self.closures:
            if name == "__class__":
                self.hold(method, Value(1 << number))
        self.emit("define", number)
        self.store(node.name, self._decorated(Value(1 << number), decorators, node), node.lineno)

    def _type_parameters(self, node: Any) -> Layer | None:
        """The layer of PEP 695 type parameters, on top until the caller takes it away."""
        parameters = getattr(node, "type_params", None)
        if not parameters:
            return None
        layer = Layer({parameter.name: PLAIN for parameter in parameters})
        self.layers.append(layer)
        return layer

    def _type_alias(self, node: Any) -> None:
        for inner in ast.walk(node.value):
            if isinstance(inner, ast.Name):
                self.trace.needs.setdefault(inner.id, inner.lineno)
        self.store(node.name.id, Value(1 << self.trace.new("type()")), node.lineno)


def last_name(node: ast.expr) -> str:
    """The last part of a decorator's name."""
    match node:
        case ast.Call(func=function):
            return last_name(function)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _yields(body: Sequence[ast.stmt]) -> bool:
    """Whether a function's body makes it a generator."""
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            todo.extend(ast.iter_child_nodes(node))
    return False
