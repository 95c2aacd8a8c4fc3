"""Which modules a piece of code imports, wherever in it, and which scripts it runs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from nbvertex import ipython_syntax

_CALLS = frozenset({"import_module", "__import__", "load_extension", "run_module"})
_MAGIC = re.compile(r"^\s*%\s*(load_ext|reload_ext|run)\s+(?:-\w+\s+)*([^\s;#]+)", re.MULTILINE)
_OPTIONAL = {  # what a library imports by itself where it is there, and the words that make it do so
    "pandas": {
        "pyarrow": r"parquet|feather|arrow|orc\b", "fastparquet": r"fastparquet", "openpyxl": r"_excel|ExcelWriter|ExcelFile",
        "xlsxwriter": r"xlsxwriter", "xlrd": r"\.xls\b", "tables": r"_hdf|HDFStore", "sqlalchemy": r"_sql\b|_sql_",
        "tabulate": r"to_markdown", "lxml": r"read_html|_xml", "bs4": r"read_html", "html5lib": r"read_html",
        "jinja2": r"\.style\b|to_latex", "matplotlib": r"\.plot\b|\.hist\b|\.boxplot\b", "fsspec": r"\w+://",
        "numexpr": r"", "bottleneck": r"", "pandas_gbq": r"_gbq", "xarray": r"to_xarray", "numba": r"numba",
    },
    "numpy": {}, "dask": {"fsspec": r"\w+://", "pyarrow": r"parquet|dataframe"},
    "fsspec": {}, "polars": {"pyarrow": r"arrow|pandas", "fsspec": r"\w+://"},
    "matplotlib": {"PIL": r""}, "plotly": {"kaleido": r"write_image|to_image"},
}  # fmt: skip
_EVERYWHERE = {
    "gcsfs": r"\b(gs|gcs)://",
    "s3fs": r"\bs3://",
    "adlfs": r"\b(abfs|az)://",
    "IPython": r"",
    "matplotlib_inline": r"matplotlib",
}


@dataclass(frozen=True, slots=True)
class Imported:
    """What a piece of code imports.

    Args:
        modules: dotted and absolute, or with leading dots. Of ``from a import b`` it is ``a.b``, where b may be no module.
        scripts: the files that it runs.
    """

    modules: frozenset[str] = frozenset()
    scripts: frozenset[str] = frozenset()


def of_cell(source: str) -> Imported:
    """What a cell imports."""
    code = ipython_syntax.read(source)
    modules, scripts = set(), set()
    for magic, word in _MAGIC.findall(source):
        if magic == "run":
            scripts.add(word.strip("'\"") if word.endswith((".py", ".ipy", "'", '"')) else f"{word}.py")
        else:
            modules.add(word)
    if code.tree is not None:
        modules |= set(_modules(code.tree))
    return Imported(frozenset(modules), frozenset(scripts))


def of_module(source: str) -> Imported:
    """What a Python file imports; nothing where it does not parse."""
    try:
        return Imported(frozenset(_modules(ipython_syntax.parsed(source))))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Imported()


def _modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                start = "." * level + (module or "")
                yield from (start if alias.name == "*" else _below(start, alias.name) for alias in names)
            case ast.Call(
                func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(module)), *_]
            ):
                if name in _CALLS and module:
                    yield module
            case _:
                pass


def _below(start: str, name: str) -> str:
    return f"{start}{name}" if start.endswith(".") else f"{start}.{name}"


def optional(tops: frozenset[str], text: str) -> frozenset[str]:
    """Modules that libraries import by themselves for what the code asks of them.

    Args:
        tops: the top-level modules that it imports.
        text: the code.
    """
    asked = [_EVERYWHERE, *(_OPTIONAL[top] for top in tops if top in _OPTIONAL)]
    return frozenset(module for table in asked for module, words in table.items() if re.search(words, text))
