"""A block of Python becomes a trace: statements, scopes, and the ways through them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nbvertex import ipython_commands
from nbvertex.expressions import Expressions
from nbvertex.ipython_syntax import read
from nbvertex.scopes import Bound, Layer, Place, bound, meet
from nbvertex.stars import star_names
from nbvertex.trace import PLAIN, Function, Trace, Value, dotted, join, part

SELF = Value(0, 1)  # in a function: what the function object itself holds, its closure and defaults
SWALLOWERS = ("suppress", "raises", "ignore", "assertRaises")  # a `with` that may end its body early


class Walker(Expressions):
    """Walks through one block: a cell, or a function's body.

    Args:
        outer: the walker of the block around a function.
        own: the names that a function binds itself.
        future: annotations are not evaluated (``from __future__ import annotations``).
        walrus: some ``:=`` stands in the cell, so that expressions may bind names.
    """

    def __init__(
        self, outer: Walker | None = None, own: Bound | None = None, *, future: bool = False, walrus: bool = True
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
        self.loops: list[list[Place]] = []
        self.captured: set[str] = set()
        self.closures: list[tuple[int, str]] = []
        self.used: set[Value] = set()
        self.depth = 0  # how many conditions hold before this line is run
        self.guards = 0  # how many `try` round this line catch a missing name
        self.settling = False
        self.suspicious = False  # something that parses and may yet be no code
        self.shown = False
        self.unguarded: set[str] = set()

    # names

    def load(self, name: str, line: int) -> Value:
        """What a name holds here; the global of that name where the block has not surely bound one."""
        found = self._layered(name)
        if found is not None:
            return found
        if self.own is not None:
            if name in self.own.names:
                return self.place.env.get(name, PLAIN)
            if name not in self.own.globals and self._capture(name):
                return SELF
            return self._global(name, line)
        value = self.place.env.get(name)
        if name in self.place.sure or name in self.place.gone:
            return value or PLAIN
        entry = self._global(name, line)
        return entry if value is None else join(value, entry)

    def _global(self, name: str, line: int) -> Value:
        number = self.trace.names.get(name)
        if number is None:
            number = self.trace.names[name] = self.trace.new()
        self.trace.reads.setdefault(name, line)
        if not self.guards:
            self.unguarded.add(name)
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
        if outer is None or not (outer.owns(name) or (outer.own is not None and outer._capture(name))):
            return False
        self.captured.add(name)
        return True

    def store(self, name: str, value: Value, line: int) -> None:
        """Bind a name in the block, or in the class body under way."""
        if self.layers and self.layers[-1].is_class and not self._global_in_class(name):
            self.layers[-1].put(name, value, sure=not self.depth)
            return
        if self.own is not None:
            if name in self.own.names:
                self.place.env[name] = value
                self.ever[name] = join(self.ever.get(name, PLAIN), value)
                return
            if name in self.own.nonlocals or self.owns(name):
                self.emit("change", SELF, line)
                self.keep(Value(1), value)
                return
        self.place.env[name] = value
        self.place.sure |= {name}
        self.place.gone -= {name}
        self.ever[name] = join(self.ever[name], value) if name in self.ever else value
        self.trace.binds.setdefault(name, line)
        self.emit("bind", name, value, line, not self.depth and self.own is None)

    def _global_in_class(self, name: str) -> bool:
        return name in self.class_globals

    def _unbind(self, name: str, line: int) -> None:
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

    def cell(self, body: Sequence[ast.stmt], *, shows: bool) -> None:
        """All of a cell; IPython shows the value of its last expression."""
        last = body[-1] if body and isinstance(body[-1], ast.Expr) and shows else None
        self.block(body if last is None else body[:-1])
        if last is not None and self.place.alive:
            self.emit("show", self.value(last.value))  # type: ignore[attr-defined]
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
                new = self.compute([old, right], holds=True)
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

    def annotation(self, node: ast.expr | None, late: dict[str, int] | None = None) -> None:
        """An annotation: evaluated, or kept as text that somebody may evaluate later."""
        if node is None:
            return
        texts = [n for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        late = self.trace.late if late is None else late
        for text in texts:
            for name in ipython_commands.names_in(str(text.value)):
                late.setdefault(name, text.lineno)
        if self.future:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name):
                    late.setdefault(inner.id, inner.lineno)
        else:
            self.value(node)

    def _delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._delete_one(target)

    def _delete_one(self, target: ast.expr) -> None:
        match target:
            case ast.Name():
                self.load(target.id, target.lineno)
                self._unbind(target.id, target.lineno)
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
        self.values([node.exc, node.cause])
        self.place.alive = False

    def _assert(self, node: ast.Assert) -> None:
        self.value(node.test)
        self.perhaps(lambda: self.value(node.msg), lambda: PLAIN)

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
            self.target(node.target, self.item(value), node.lineno)
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
        breaks: list[Place] = []
        self.loops.append(breaks)
        self.depth += 1
        self.place = before.copy()
        once()
        after = meet([before, self.place])
        if not self.settling and _more(before, after):
            self.settling = True
            self.place = after.copy()
            once()
            after = meet([after, self.place])
            self.settling = False
        self.loops.pop()
        self.place = after.copy()
        if endless:
            self.place.alive = False
        self.block(orelse)
        self.depth -= 1
        self.meet(before, [self.place, *breaks])

    def _break(self, node: ast.Break) -> None:
        if self.loops:
            self.loops[-1].append(self.place.copy())
        else:
            self.suspicious = True
        self.place.alive = False

    def _continue(self, node: ast.Continue) -> None:
        self.suspicious = self.suspicious or not self.loops
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
            self.store(handler.name, Value(1 << self.trace.new()), handler.lineno)
        self.block(handler.body)
        if handler.name:
            self._unbind(handler.name, handler.lineno)

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
        last = node.cases[-1]
        ways = [lambda case=case: self._case(case, subject) for case in node.cases]  # type: ignore[misc]
        if last.guard is not None or not _irrefutable(last.pattern):
            ways.append(lambda: None)
        self.fork(ways)

    def _case(self, case: ast.match_case, subject: Value) -> None:
        for node in ast.walk(case.pattern):
            match node:
                case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                    self.store(name, join(subject, part(subject)), node.lineno)
                case ast.MatchValue(value=value) | ast.MatchClass(cls=value):
                    self.value(value)
                case ast.MatchMapping(keys=keys):
                    self.values(keys)
        self.value(case.guard)
        self.block(case.body)

    # definitions

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        decorators = self.values(node.decorator_list)
        layer = self._type_parameters(node)
        late: dict[str, int] = {}
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        for arg in every:
            self.annotation(arg.annotation if arg else None, late)
        self.annotation(node.returns, late)
        words = {_last(decorator) for decorator in node.decorator_list}
        value = self._function(
            node.name, node.args, node.body,
            bound="staticmethod" not in words,
            by_load=bool(words & {"property", "cached_property", "setter", "getter"}),
            late=late,
        )  # fmt: skip
        if layer:
            self.layers.remove(layer)
        self.store(node.name, self._decorated(value, decorators, node), node.lineno)

    def _decorated(
        self, value: Value, decorators: Sequence[Value], node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ) -> Value:
        for decorator, written in zip(reversed(decorators), reversed(node.decorator_list), strict=True):
            if _last(written) not in ("property", "staticmethod", "classmethod", "dataclass"):
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
            inner.trace.reads.setdefault(missing, line)
        self.suspicious = self.suspicious or inner.suspicious
        number = self.trace.new("function()")
        self.trace.functions[number] = Function(
            name, inner.trace, positional, keyword, rest, bound, by_load, _yields(body)
        )
        for default in defaults:
            self.hold(number, default)
        for captured in inner.captured:
            self.closures.append((number, captured))
            self._enclose(number, captured)
        self.emit("define", number)
        return Value(1 << number)

    def _inner(self, body: Sequence[ast.stmt], parameters: Sequence[str]) -> Walker:
        own = bound(body)
        if own.globals or own.nonlocals or len(set(parameters)) < len(parameters):
            self.suspicious = True
        own = Bound(own.names | frozenset(parameters), own.globals, own.nonlocals)
        inner = Walker(self, own, future=self.future, walrus=self.walrus)
        inner.trace.new("function()")  # object 0: the function itself
        inner.trace.parameters = {parameter: inner.trace.new() for parameter in parameters}
        inner.unguarded = self.unguarded
        return inner

    def _enclose(self, number: int, name: str) -> None:
        """A function holds what a name of the block around it holds."""
        if self.own is not None and name in self.captured:
            self.hold(number, SELF)
        found = self._layered(name)
        if found is not None:
            self.hold(number, found)
        elif name in self.ever:
            self.hold(number, self.ever[name])

    def _class(self, node: ast.ClassDef) -> None:
        decorators = self.values(node.decorator_list)
        layer = self._type_parameters(node)
        bases = self.values(node.bases)
        bases += [self.value(word.value) for word in node.keywords]
        body, kept, self.class_globals = Layer(is_class=True), self.class_globals, set()
        self.layers.append(body)
        self.block(node.body)
        self.layers.pop()
        self.class_globals = kept
        if layer:
            self.layers.remove(layer)
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
                self.trace.late.setdefault(inner.id, inner.lineno)
        self.store(node.name.id, Value(1 << self.trace.new("type()")), node.lineno)

    # commands of IPython

    def command(self, node: ast.Call) -> Value | None:
        """A magic or shell line; None where the call is none."""
        method = ipython_commands.method(node)
        if not method or self._layered("get_ipython") is not None or "get_ipython" in self.place.sure:
            return None
        known = ipython_commands.understand(method, node)
        if known is None:
            return None
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
            self._unbind(name, node.lineno)
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
            return PLAIN
        if not piece.apart:
            return self._inline(code.tree.body)
        value = self._function(
            "<command>", ast.arguments([], [], None, [], [], None, []), code.tree.body
        )
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

    # the end

    def finish(self) -> None:
        """What is known only when the whole block was seen."""
        for number, name in self.closures:
            self._enclose(number, name)
        self.trace.sure, self.trace.gone = self.place.sure, self.place.gone
        self.trace.optional = set(self.trace.reads) - self.unguarded

    class_globals: set[str] = set()  # noqa: RUF012 - replaced, never changed

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
        ast.If: _if,
        ast.For: _for,
        ast.AsyncFor: _for,
        ast.While: _while,
        ast.Break: _break,
        ast.Continue: _continue,
        ast.With: _with,
        ast.AsyncWith: _with,
        ast.Try: _try,
        ast.TryStar: _try,
        ast.Match: _match,
        ast.FunctionDef: _define,
        ast.AsyncFunctionDef: _define,
        ast.ClassDef: _class,
    }
    if hasattr(ast, "TypeAlias"):
        _statements[ast.TypeAlias] = _type_alias


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


def _last(node: ast.expr) -> str:
    """The last part of a decorator's name."""
    match node:
        case ast.Call(func=function):
            return _last(function)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _swallows(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and _last(node) in SWALLOWERS


def _catches_names(handler: ast.ExceptHandler) -> bool:
    """Whether a missing name is caught."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or _last(kind) == "NameError" for kind in kinds)


def _irrefutable(pattern: ast.pattern) -> bool:
    match pattern:
        case ast.MatchAs(pattern=None):
            return True
        case ast.MatchAs(pattern=inner) if inner is not None:
            return _irrefutable(inner)
        case ast.MatchOr(patterns=patterns):
            return any(_irrefutable(one) for one in patterns)
    return False


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


def _more(before: Place, after: Place) -> bool:
    """Whether a loop's body leaves names with objects that its beginning did not know."""
    return any(
        (value.at or value.within) and before.env.get(name) != value for name, value in after.env.items()
    )
