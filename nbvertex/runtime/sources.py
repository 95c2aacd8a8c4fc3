"""What the cells of a step are seen to do to modules, from their source; commands of IPython are taken out."""

from __future__ import annotations

import ast
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_RUNS_ITS_BODY = ("time", "timeit", "capture", "prun", "memit")
_COMMAND = re.compile(r"(\s*)([%!].*|\?+[\w.]+|[\w.]+\?+)\s*$")
_TIMED = re.compile(r"(\s*)%(?:time|timeit|prun|memit)\s+((?:-\w+\s+)*)(\S.*)$")
_GIVEN = re.compile(r"(\s*[\w., ]+=\s*)[%!].*$")
VERBS = re.compile(  # functions whose name says that they change something
    r"(un)?(register|install|set|add|define|enable|disable|configure|patch|use|push|pop|append|extend|insert|update|remove"
    r"|clear|capture|declare|reset|pickle$)"
)


@dataclass
class Code:
    """What some code does.

    Args:
        imports: its import statements.
        stores: attributes that it stores or deletes: of what, and which.
        changes: expressions whose insides it stores, and functions that it calls to change something.
    """

    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)
    stores: list[tuple[ast.expr, str]] = field(default_factory=list)
    changes: list[tuple[ast.expr, bool]] = field(default_factory=list)

    def note(self, node: ast.AST) -> None:
        """One node of the code."""
        match node:
            case ast.Import() | ast.ImportFrom():
                self.imports.append(node)
            case ast.Attribute(value=owner, attr=name, ctx=ast.Store() | ast.Del()):
                self.stores.append((owner, name))
                self.changes.append((owner, False))
            case ast.Subscript(value=ast.Attribute() as owner, ctx=ast.Store() | ast.Del()):
                self.changes.append((owner, False))
            case ast.Call(func=function, args=arguments):
                if VERBS.match(last_name(function)):
                    self.changes.append((function, True))
                match arguments:
                    case [owner, ast.Constant(value=str(name)), *_] if last_name(function) in _SETTERS:
                        self.stores.append((owner, name))
            case ast.FunctionDef(decorator_list=decorators) | ast.ClassDef(decorator_list=decorators):
                self.changes += [(one, True) for one in decorators if VERBS.match(last_name(one))]


_SETTERS = ("setattr", "delattr")


def read(sources: Iterable[str]) -> Code:
    """What the cells do that are Python, at least in part."""
    found = Code()
    for source in sources:
        for node in _nodes(source):
            found.note(node)
    return found


def last_name(node: ast.expr) -> str:
    """The last part of a dotted name."""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def resolve(node: ast.expr, namespace: Mapping[str, Any]) -> Any:
    """What a dotted name stands for, as far as it leads through modules and classes."""
    if isinstance(node, ast.Name):
        return namespace.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = resolve(node.value, namespace)
        return vars(owner).get(node.attr) if isinstance(owner, types.ModuleType | type) else None
    return None


def _nodes(source: str) -> Iterator[ast.AST]:
    for text in (source, plain(source)):
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        yield from ast.walk(tree)
        return


def plain(source: str) -> str:
    """A cell without its commands, line for line."""
    lines = source.split("\n")
    first = next((n for n, line in enumerate(lines) if line.strip()), 0)
    if lines[first].startswith("%%"):
        if lines[first][2:].partition(" ")[0].strip() not in _RUNS_ITS_BODY:
            return ""
        lines[first] = ""
    return "\n".join(map(_line, lines))


def _line(line: str) -> str:
    if found := _TIMED.match(line):
        return found[1] + found[3]
    if found := _COMMAND.match(line):
        return found[1] + "pass"
    if found := _GIVEN.match(line):
        return found[1] + "None"
    return line
