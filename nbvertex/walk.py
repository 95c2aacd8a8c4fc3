"""A block of Python becomes a trace, statement by statement."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from nbvertex import ipython_commands
from nbvertex.control import Control
from nbvertex.ipython_syntax import read
from nbvertex.stars import star_names
from nbvertex.trace import PLAIN, Value, dotted, join, part


class Walker(Control):
    """Adds the plain statements, and the commands of IPython."""

    def cell(self, body: Sequence[ast.stmt], *, shows: bool) -> None:
        """All of a cell; IPython shows the value of its last expression."""
        last = body[-1] if body and isinstance(body[-1], ast.Expr) and shows else None
        self.block(body if last is None else body[:-1])
        if last is not None and self.place.alive:
            self.emit("show", self.value(last.value))
        self.finish()

    def block(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            if not self.place.alive:
                return
            self._statements[type(statement)](self, statement)

    # statements

    def _expression(self, node: ast.Expr) -> None:
        self.statement = node.value.value if isinstance(node.value, ast.Await) else node.value
        self.value(node.value)
        self.statement = None

    def _assign(self, node: ast.Assign) -> None:
        first = node.targets[0]
        pairs = isinstance(first, ast.Tuple) and isinstance(node.value, ast.Tuple) and len(node.targets) == 1
        if pairs and len(first.elts) == len(node.value.elts) and not _starred(first, node.value):  # type: ignore[attr-defined]
            for target, value in zip(first.elts, self.values(node.value.elts), strict=True):  # type: ignore[attr-defined]
                self.target(target, value, node.lineno)
            return
        value = self.value(node.value)
        for target in node.targets:
            self.target(target, value, node.lineno)

    def _augmented(self, node: ast.AugAssign) -> None:
        match node.target:
            case ast.Name():
                old = self.use(self.load(node.target.id, node.lineno), node.lineno)
                right = self.value(node.value)
                new = self.compute([old, right], node.lineno, holds=True)
                if old.at or old.within:
                    self.emit("change", old, node.lineno)
                    self.keep(old, part(right))
                self.store(node.target.id, join(old, new), node.lineno)
            case _:
                holder = self.value(_loaded(node.target))
                right = self.value(node.value)
                self.emit("change", holder, node.lineno)
                self.target(node.target, join(holder, right), node.lineno)

    def _annotated(self, node: ast.AnnAssign) -> None:
        value = self.value(node.value)
        if self.own is None or self.layers:
            self.annotation(node.annotation)
        if node.value is not None:
            self.target(node.target, value, node.lineno)
        elif not isinstance(node.target, ast.Name):
            self.value(_loaded(node.target))

    def _delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._delete_one(target)

    def _delete_one(self, target: ast.expr) -> None:
        match target:
            case ast.Name():
                self.load(target.id, target.lineno)
                self.unbind(target.id, target.lineno)
            case ast.Tuple() | ast.List():
                for element in target.elts:
                    self._delete_one(element)
            case ast.Attribute() | ast.Subscript():
                root, names = self.chain(target.value)
                if isinstance(target, ast.Subscript):
                    self.value(target.slice)
                holder = self.use(dotted(root, names), target.lineno)
                self.emit("change", holder, target.lineno)

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.trace.imports.add(alias.name)
            top = alias.name.partition(".")[0]
            if top == "__main__":
                self.emit("everything", node.lineno)
            self.emit("state", "imports", top, "read", node.lineno)
            path = alias.name if alias.asname else top
            self.store(alias.asname or top, Value(path=path), node.lineno)

    def _import_from(self, node: ast.ImportFrom) -> None:
        module = "." * node.level + (node.module or "")
        if module == "__future__":
            self.suspicious = True
            self.future = self.future or any(alias.name == "annotations" for alias in node.names)
        self.trace.imports.add(module)
        if module == "__main__":
            self.emit("everything", node.lineno)
        self.emit("state", "imports", module.partition(".")[0], "read", node.lineno)
        for alias in node.names:
            if alias.name != "*":
                self.store(alias.asname or alias.name, Value(path=f"{module}.{alias.name}"), node.lineno)
                continue
            known = star_names(module)
            if known is None:
                self.trace.stars.setdefault(module, node.lineno)
            for name in known or ():
                self.store(name, Value(path=f"{module}.{name}"), node.lineno)

    def _global_statement(self, node: ast.Global) -> None:
        self.suspicious = True
        if self.layers and self.layers[-1].is_class:
            self.class_globals |= set(node.names)

    def _nonlocal(self, node: ast.Nonlocal) -> None:
        self.suspicious = True

    def _nothing(self, node: ast.Pass) -> None:
        pass

    def _return(self, node: ast.Return) -> None:
        self.suspicious = self.suspicious or self.own is None
        self.trace.returns = join(self.trace.returns, self.value(node.value))
        self.place.alive = False

    def _raise(self, node: ast.Raise) -> None:
        for value in self.values([node.exc, node.cause]):
            self.emit("raise", value)
        self.place.alive = False

    def _assert(self, node: ast.Assert) -> None:
        self.value(node.test)
        self.emit("raise", self.perhaps(lambda: self.value(node.msg), lambda: PLAIN))

    # commands of IPython

    def command(self, node: ast.Call) -> Value | None:
        """A magic or shell line; None where the call is none."""
        method = ipython_commands.method(node)
        if not method or self._layered("get_ipython") is not None or "get_ipython" in self.place.sure:
            return None
        known = ipython_commands.understand(method, node)
        if known is None:
            return None
        self.values([*node.args, *(word.value for word in node.keywords)])
        for expression in known.expressions:
            self._lenient(expression, node.lineno)
        result = PLAIN
        for piece in known.pieces:
            result = self._piece(piece, node.lineno)
        for kind, what, mode in known.state:
            self.emit("state", kind, what, mode, node.lineno)
        if known.everything:
            self.emit("everything", node.lineno)
        for name in known.deletes:
            self.unbind(name, node.lineno)
        for name in known.binds:
            self.store(name, Value(1 << self.trace.new()), node.lineno)
        self.trace.requirements.extend(known.requirements)
        if known.keeps_result:
            return result
        return Value(1 << self.trace.new()) if known.gives else PLAIN

    def _piece(self, piece: ipython_commands.Piece, line: int) -> Value:
        """Python in a command: run here, or in a function of its own (``%timeit``)."""
        code = read("\n" * (line - 1 + piece.below) + piece.python)
        if code.tree is None:
            self.trouble = self.trouble or code.trouble
            return PLAIN
        if not piece.apart:
            return self._inline(code.tree.body)
        value = self._function("<command>", ast.arguments([], [], None, [], [], None, []), code.tree.body)
        self.call(value, (), (), line=line)
        return PLAIN

    def _inline(self, body: list[ast.stmt]) -> Value:
        if len(body) == 1 and isinstance(body[0], ast.Expr):
            return self.value(body[0].value)
        self.block(body)
        return PLAIN

    def _lenient(self, expression: str, line: int) -> None:
        """An expression in a command's text: where it fails, the text stays as it is."""
        for name in ipython_commands.names_in(expression):
            self.guards += 1
            self.use(self.load(name, line), line)
            self.guards -= 1

    def awaits(self) -> None:
        if self.own is None:
            self.trace.is_async = True

    _statements: dict[type[ast.AST], Callable[[Any, Any], None]] = {  # noqa: RUF012
        ast.Expr: _expression,
        ast.Assign: _assign,
        ast.AugAssign: _augmented,
        ast.AnnAssign: _annotated,
        ast.Delete: _delete,
        ast.Import: _import,
        ast.ImportFrom: _import_from,
        ast.Global: _global_statement,
        ast.Nonlocal: _nonlocal,
        ast.Pass: _nothing,
        ast.Return: _return,
        ast.Raise: _raise,
        ast.Assert: _assert,
        ast.If: Control._if,
        ast.For: Control._for,
        ast.AsyncFor: Control._for,
        ast.While: Control._while,
        ast.Break: Control._break,
        ast.Continue: Control._continue,
        ast.With: Control._with,
        ast.AsyncWith: Control._with,
        ast.Try: Control._try,
        ast.TryStar: Control._try,
        ast.Match: Control._match,
        ast.FunctionDef: Control._define,
        ast.AsyncFunctionDef: Control._define,
        ast.ClassDef: Control._class,
    }
    if hasattr(ast, "TypeAlias"):
        _statements[ast.TypeAlias] = Control._type_alias


def _starred(*nodes: ast.expr) -> bool:
    """Whether some element has a star, so that the two sides do not go pair by pair."""
    return any(isinstance(element, ast.Starred) for node in nodes for element in node.elts)  # type: ignore[attr-defined]


def _loaded(target: ast.expr) -> ast.expr:
    """What an augmented assignment reads: its target as an expression."""
    match target:
        case ast.Attribute(value, attr):
            return ast.copy_location(ast.Attribute(value, attr, ast.Load()), target)
        case ast.Subscript(value, index):
            return ast.copy_location(ast.Subscript(value, index, ast.Load()), target)
    return target
