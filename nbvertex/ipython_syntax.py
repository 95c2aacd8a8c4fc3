"""A cell as IPython reads it: plain Python, with every line where the user wrote it."""

from __future__ import annotations

import ast
import functools
import re
import warnings
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

MOST_COMMANDS = 500  # as many lines of its own syntax as IPython takes in a cell


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a cell is no code.

    Args:
        line: where, counted from 1 in the cell.
        message: what Python says.
    """

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Code:
    """A cell's code.

    Args:
        python: the source after IPython's transform, padded so that no line moves.
        tree: what it parses to; None where it does not.
        trouble: why it does not parse.
    """

    python: str
    tree: ast.Module | None
    trouble: Trouble | None = None


# Line magics that IPython takes without the `%`, where they are the only line of a cell.
AUTOMAGICS = frozenset(
    "alias bookmark cat cd clear colors conda config cp debug dhist dirs edit env gui hist history ldir less lf lk ll load "
    "load_ext logoff logon logstart logstate logstop ls lsmagic lx macro magic mamba man matplotlib micromamba mkdir more mv "
    "notebook page pastebin pdb pdef pdoc pfile pinfo pinfo2 pip popd precision prun psearch psource pushd pwd "
    "pycat pylab quickref recall rehashx reload_ext rep rerun reset reset_selective rm rmdir run save sc set_env store sx "
    "system tb time timeit unalias unload_ext uv who who_ls whos xdel xmode".split()
)


def read(source: str, bound: Container[str] = ()) -> Code:
    """The code of a cell; IPython is asked only where the cell is not plain Python.

    What parses as Python, IPython leaves as it is: none of its own syntax does, but for a lone magic without its ``%``.

    Args:
        source: the cell as the user wrote it.
        bound: names that earlier cells have bound.
    """
    if _is_magic(source, bound):
        indent = len(source) - len(source.lstrip())
        source = f"{source[:indent]}%{source[indent:]}"
    try:
        return Code(source, parsed(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass  # its own syntax, or wrong: told apart below
    try:
        python = transformed(source)
        return Code(python, parsed(python))
    except SyntaxError as error:
        return Code(source, None, Trouble(error.lineno or 1, error.msg))
    except (ValueError, RecursionError, MemoryError, RuntimeError) as error:
        # a null character, brackets too deep, more commands than IPython takes
        return Code(source, None, Trouble(1, str(error) or "the cell is too deep to be read"))


def _is_magic(source: str, bound: Container[str]) -> bool:
    """Whether a cell is one line that begins with the name of a magic, and with nothing else of that name."""
    text = source.strip()
    word = re.match(r"[a-z_0-9]+", text)
    if word is None or "\n" in text or word[0] not in AUTOMAGICS or word[0] in bound:
        return False
    rest = text[word.end() :].lstrip()
    return not rest.startswith(("=", ".", "(", "[", ",", ":", ";")) and rest[1:2] != "="


def parsed(python: str) -> ast.Module:
    """The tree of some Python, without the warnings that belong to running it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(python)


def transformed(source: str) -> str:
    """What IPython makes of a cell; a command that spans lines leaves blank ones behind.

    Raises:
        SyntaxError: IPython cannot read a command.
        RuntimeError: the cell has more commands than IPython takes.
    """
    manager = _manager()
    written = (source if source.endswith("\n") else source + "\n").splitlines(keepends=True)
    lines = written
    for cleanup in (*manager.cleanup_transforms, *manager.line_transforms):
        before, lines = lines, cleanup(lines)
        if not before or not lines:
            return ""
    above = next(count for count, line in enumerate(written) if not line.isspace())
    for _ in range(MOST_COMMANDS):
        changed, after = manager.do_one_token_transform(lines)
        if not changed:
            return "\n" * above + "".join(lines)
        lines = _padded(lines, after)
    raise RuntimeError(f"the cell has more than {MOST_COMMANDS} lines of IPython's own syntax")


def _padded(before: list[str], after: list[str]) -> list[str]:
    """The lines after one command was put into one line, and as many as before."""
    missing = len(before) - len(after)
    if missing <= 0:
        return after
    place = next(number for number, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1])
    return [*after[: place + 1], *["\n"] * missing, *after[place + 1 :]]


def silent(code: Code) -> bool:
    """Whether a semicolon at its end keeps IPython from showing the last value."""
    if code.tree is None or not code.tree.body or ";" not in code.python:
        return False
    last = code.tree.body[-1]
    if not isinstance(last, ast.Expr):
        return False
    line = code.python.split("\n")[(last.end_lineno or 1) - 1]
    return line.encode("utf-8", "surrogatepass")[last.end_col_offset or 0 :].lstrip().startswith(b";")


@functools.cache
def _manager() -> Any:  # IPython does not say what its transformers take and give
    from IPython.core import inputtransformer2

    make: Any = inputtransformer2.TransformerManager
    return make()
