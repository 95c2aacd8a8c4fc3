"""What a cell does to names and to the world outside them, read from its source without running it."""

from __future__ import annotations

import ast
import builtins
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from nbvertex.ipython_syntax import Trouble, read
from nbvertex.pipeline import Facts

BUILTINS = frozenset(dir(builtins)) | {
    "display", "get_ipython", "In", "Out", "exit", "quit", "open", "_", "__", "___", "_ih", "_oh", "_dh",
    "_i", "_ii", "_iii", "__name__", "__doc__", "__builtins__", "__builtin__", "__package__", "__spec__", "__loader__",
}


@dataclass(frozen=True, slots=True)
class Analysis:
    """What one cell does.

    Args:
        facts: for the model.
        reads_at, binds_at, mutates_at, deletes_at: the first line for each name, as the user wrote the cell.
        problem: why the cell does not parse.
        digest: SHA-256 of the code's meaning.
        python: the source after IPython's transform, line for line.
        late: the names read only when a function of the cell is called: they may be bound after it.
        builtins: names of Python's and IPython's own that it reads; another cell may have bound them anew.
        modules: names that are known to hold a module, or a thing of it, after the cell (``pd: pandas``).
    """

    facts: Facts = Facts()
    reads_at: Mapping[str, int] = field(default_factory=dict)
    binds_at: Mapping[str, int] = field(default_factory=dict)
    mutates_at: Mapping[str, int] = field(default_factory=dict)
    deletes_at: Mapping[str, int] = field(default_factory=dict)
    problem: Trouble | None = None
    digest: str = ""
    python: str = ""
    late: frozenset[str] = frozenset()
    builtins: frozenset[str] = frozenset()
    modules: Mapping[str, str] = field(default_factory=dict)


def analyse(source: str, modules: Mapping[str, str] | None = None) -> Analysis:
    """What a cell does.

    Args:
        source: the cell as the user wrote it.
        modules: names that earlier cells bound to modules or things of them: the ``modules`` of their
            analyses, the latest winning.
    """
    code = read(source)
    if code.tree is None:
        digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
        return Analysis(problem=code.trouble, digest=digest, python=code.python)
    names = _Names()
    names.visit(code.tree)
    return Analysis(
        facts=Facts(
            reads=tuple(sorted(set(names.reads) - BUILTINS)),
            binds=tuple(sorted(names.binds)),
            surely=tuple(sorted(names.binds)),
            mutates=tuple(sorted(names.mutates)),
            deletes=tuple(sorted(names.deletes)),
        ),
        reads_at=names.reads,
        binds_at=names.binds,
        mutates_at=names.mutates,
        deletes_at=names.deletes,
        digest=hashlib.sha256(ast.dump(code.tree).encode("utf-8", "surrogatepass")).hexdigest(),
        python=code.python,
        builtins=frozenset(names.reads) & BUILTINS,
    )


def runnable(source: str) -> str:
    """The cell as it is run: lines that ask for packages are blank, no other line moves."""
    return source


class _Names(ast.NodeVisitor):
    def __init__(self) -> None:
        self.reads: dict[str, int] = {}
        self.binds: dict[str, int] = {}
        self.mutates: dict[str, int] = {}
        self.deletes: dict[str, int] = {}

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            if node.id not in self.binds:
                self.reads.setdefault(node.id, node.lineno)
        elif isinstance(node.ctx, ast.Store):
            self.binds.setdefault(node.id, node.lineno)
        else:
            self.deletes.setdefault(node.id, node.lineno)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            self.binds.setdefault(alias.asname or alias.name.split(".")[0], node.lineno)

    visit_ImportFrom = visit_Import

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self.binds.setdefault(node.name, node.lineno)
        inner = _Names()
        if not isinstance(node, ast.ClassDef):
            inner.binds = {a.arg: 0 for a in [*node.args.args, *node.args.kwonlyargs]}
        for statement in node.body:
            inner.visit(statement)
        for name, line in inner.reads.items():
            if name not in self.binds:
                self.reads.setdefault(name, line)

    visit_AsyncFunctionDef = visit_FunctionDef
    visit_ClassDef = visit_FunctionDef

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            self.mutates.setdefault(node.func.value.id, node.lineno)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
            self.mutates.setdefault(node.value.id, node.lineno)
