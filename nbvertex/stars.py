"""What ``from module import *`` brings, as far as that can be told without importing it."""

from __future__ import annotations

import ast
import functools
import sys
from importlib.machinery import PathFinder, SourceFileLoader


@functools.cache
def star_names(module: str) -> tuple[str, ...] | None:
    """The names of a module of Python's own; None for any other, whose version may be another where it runs."""
    if module.partition(".")[0] not in sys.stdlib_module_names:
        return None
    known = sys.modules.get(module)
    if known is not None or module in sys.builtin_module_names or module in ("math", "cmath", "array"):
        known = known or __import__(module)
        names = getattr(known, "__all__", None)
        return tuple(
            sorted(names if names is not None else (n for n in vars(known) if not n.startswith("_")))
        )
    return _read(module)


def _read(module: str) -> tuple[str, ...] | None:
    """From the module's source: its ``__all__`` where that is written out, else what it binds."""
    parts = module.split(".")
    path: list[str] | None = None
    spec = None
    for number in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: number + 1]), path)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or [])
    if spec is None or not isinstance(spec.loader, SourceFileLoader):
        return None
    tree = ast.parse(spec.loader.get_data(spec.loader.path))
    return _written(tree)


def _written(tree: ast.Module) -> tuple[str, ...] | None:
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List() | ast.Tuple() as value):
                listed = [item.value for item in value.elts if isinstance(item, ast.Constant)]
                return tuple(sorted(str(name) for name in listed)) if len(listed) == len(value.elts) else None
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names.update(n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))
            case ast.Import(names=aliases):
                names.update(alias.asname or alias.name.partition(".")[0] for alias in aliases)
            case ast.ImportFrom(names=aliases) if aliases[0].name != "*":
                names.update(alias.asname or alias.name for alias in aliases)
            case ast.Expr() | ast.Pass():
                pass
            case _:
                return None  # names that only running it would tell
    return tuple(sorted(name for name in names if not name.startswith("_")))
