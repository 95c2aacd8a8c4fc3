"""Which names a block of Python binds, and what is known of names at one place in it."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from nbvertex.trace import PLAIN, Value, join

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(slots=True)
class Place:
    """What is known at one place of a block.

    Args:
        env: what names hold that the block has bound so far, on some way to here.
        sure: names bound on every way to here.
        gone: names unbound on every way to here.
        alive: whether there is a way to here at all.
    """

    env: dict[str, Value] = field(default_factory=dict)
    sure: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    alive: bool = True

    def copy(self) -> Place:
        return Place(dict(self.env), self.sure, self.gone, self.alive)


def meet(places: Iterable[Place]) -> Place:
    """Where ways come together; dead ones do not count."""
    ways = list(places)
    living = [way for way in ways if way.alive]
    if not living:
        return ways[0]
    first, *others = living
    out = first.copy()
    for other in others:
        for name, value in other.env.items():
            known = out.env.get(name)
            out.env[name] = value if known is None else join(known, value)
        out.sure &= other.sure
        out.gone &= other.gone
    return out


@dataclass(slots=True)
class Loop:
    """Where the ways out of a loop's body are known to be."""

    breaks: list[Place] = field(default_factory=list)
    continues: list[Place] = field(default_factory=list)


@dataclass(slots=True)
class Layer:
    """Names of a class body or a comprehension, which lie over those of the block around it."""

    names: dict[str, Value] = field(default_factory=dict)
    is_class: bool = False

    def put(self, name: str, value: Value, *, sure: bool) -> None:
        self.names[name] = value if sure else join(self.names.get(name, PLAIN), value)


@dataclass(frozen=True, slots=True)
class Bound:
    """The names that a function's body makes its own.

    Args:
        names: bound in it, anyhow.
        globals, nonlocals: declared so.
    """

    names: frozenset[str]
    globals: frozenset[str]
    nonlocals: frozenset[str]


def bound(body: Iterable[ast.AST]) -> Bound:
    """The names that a body binds itself, the functions and classes in it left alone."""
    names: set[str] = set()
    everywhere: set[str] = set()
    around: set[str] = set()
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        match node:
            case ast.Name():
                if not isinstance(node.ctx, ast.Load):
                    names.add(node.id)
                continue
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
                continue
            case ast.Lambda() | ast.Constant():
                continue
            case ast.Import() | ast.ImportFrom():
                names.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
                continue
            case ast.Global():
                everywhere.update(node.names)
                continue
            case ast.Nonlocal():
                around.update(node.names)
                continue
            case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar():
                if node.name:
                    names.add(node.name)
            case ast.MatchMapping():
                if node.rest:
                    names.add(node.rest)
            case _ if isinstance(node, _COMPREHENSIONS):
                names.update(n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
                continue
        for name in node._fields:
            child = getattr(node, name, None)
            if isinstance(child, ast.AST):
                todo.append(child)
            elif isinstance(child, list):
                todo.extend(item for item in child if isinstance(item, ast.AST))
    return Bound(frozenset(names - everywhere - around), frozenset(everywhere), frozenset(around))
