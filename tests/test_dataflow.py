"""What cells do, found without running them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import counting
import pytest
import snippets
from hypothesis import given, settings
from hypothesis import strategies as st

from nbvertex.dataflow import BUILTINS, analyse
from nbvertex.runnable import runnable

TABLES = Path(__file__).parent / "cases"
NAMES = ("reads", "binds", "surely", "mutates", "touches", "deletes", "outside", "imports", "stars")
LISTS = ("requirements", "files_read", "files_written")


def cases(table: str) -> list[Any]:
    """The cases of a table, named, without those that need a later Python."""
    loaded = tomllib.loads((TABLES / f"{table}.toml").read_text())["case"]
    return [pytest.param(case, id=case["name"]) for case in loaded if _fits(case.get("python", "3.0"))]


def _fits(version: str) -> bool:
    return sys.version_info >= tuple(int(part) for part in version.split("."))


def expected(case: dict[str, Any]) -> dict[str, Any]:
    """What a case says, in full."""
    out: dict[str, Any] = {name: tuple(case.get(name, "").split()) for name in NAMES}
    if "surely" not in case:
        out["surely"] = out["binds"]
    for name in LISTS:
        told = case.get(name, ())
        out[name] = tuple(told.split() if isinstance(told, str) else told)
    return out | {"everything": case.get("everything", False), "is_async": case.get("is_async", False)}


@pytest.mark.parametrize("case", [*cases("dataflow"), *cases("dataflow_ipython"), *cases("dataflow_outside")])
def test_facts(case: dict[str, Any]) -> None:
    """A cell does what its case says, and nothing else."""
    found = analyse(case["source"], case.get("modules"))
    facts = {name: getattr(found.facts, name) for name in found.facts.__struct_fields__}
    assert facts == expected(case)
    assert sorted(found.late) == case.get("late", "").split()
    assert sorted(found.optional) == case.get("optional", "").split()
    assert found.problem is None


LINES: dict[str, tuple[str, dict[str, dict[str, int]]]] = {
    "first of several": ("a\nb = a\na\nb = 1", {"reads_at": {"a": 1}, "binds_at": {"b": 2}}),
    "in a block": (
        "if a:\n    for b in c:\n        d",
        {"reads_at": {"a": 1, "c": 2, "d": 3}, "binds_at": {"b": 2}},
    ),
    "in a function": ("x = 1\ndef f():\n    return k", {"reads_at": {"k": 3}, "binds_at": {"x": 1, "f": 2}}),
    "by a call": (
        "def f():\n    acc.append(1)\n\nf()",
        {"reads_at": {"acc": 4}, "binds_at": {"f": 1}, "mutates_at": {"acc": 4}},
    ),
    "in brackets over lines": ("f(\n  a,\n  b)", {"reads_at": {"f": 1, "a": 2, "b": 3}}),
    "below blank lines": ("\n\n\nx", {"reads_at": {"x": 4}}),
    "below a command over lines": ("!ls \\\n  -l\nx", {"reads_at": {"x": 3}}),
    "of a command": ("x = 1\n!ls $y\n", {"reads_at": {"y": 2}, "binds_at": {"x": 1}}),
    "in a timed cell": ("\n%%time\n# note\nx = y", {"reads_at": {"y": 4}, "binds_at": {"x": 4}}),
    "in a captured cell": (
        "%%capture out\n!ls \\\n $z\nx = y",
        {"reads_at": {"z": 2, "y": 4}, "binds_at": {"out": 1, "x": 4}},
    ),
    "deleted": ("x = 1\ny = 2\ndel x", {"binds_at": {"x": 1, "y": 2}, "deletes_at": {"x": 3}}),
    "changed": ("a\na.append(1)\na.append(2)", {"reads_at": {"a": 1}, "mutates_at": {"a": 2}}),
    "text in form feeds": ("a = 1\n\x0c\nb", {"reads_at": {"b": 3}, "binds_at": {"a": 1}}),
}


@pytest.mark.parametrize("source, wanted", LINES.values(), ids=LINES)
def test_lines(source: str, wanted: dict[str, dict[str, int]]) -> None:
    """Names are found on the lines where the user wrote them."""
    found = analyse(source)
    for field in ("reads_at", "binds_at", "mutates_at", "deletes_at"):
        assert dict(getattr(found, field)) == wanted.get(field, {}), field


PROBLEMS: dict[str, tuple[str, int]] = {
    "not Python": ("x = 1\ny = = 2", 2),
    "brackets": ("x = (1", 1),
    "indentation": ("x = 1\n    y = 2", 2),
    "below a command": ("!ls\n%who\nx = = 1", 3),
    "below a command over lines": ("!ls \\\n  -l\nx = = 1", 3),
    "return outside a function": ("x = 1\nreturn x", 2),
    "break outside a loop": ("break", 1),
    "nonlocal at top level": ("nonlocal x", 1),
    "global behind its use": ("def f():\n    x = 1\n    global x", 3),
    "parameter twice": ("def f(a, a): pass", 1),
    "future that is none": ("from __future__ import nothing_of_it", 1),
    "null character": ("x = 1\0", 1),
    "in a timed cell": ("%%time\nx = 1\ny = = 2", 3),
    "in a timed line": ("x = 1\n%timeit f(", 2),
    "R": ("x <- c(1, 2)\nlibrary(dplyr) %>% f", 2),
}


@pytest.mark.parametrize("source, line", PROBLEMS.values(), ids=PROBLEMS)
def test_problems(source: str, line: int) -> None:
    """A cell that is no code has a problem with a line; it does nothing, and has a digest all the same."""
    found = analyse(source)
    assert found.problem is not None
    assert (found.problem.line, bool(found.problem.message)) == (line, True)
    assert len(found.digest) == 64


@pytest.mark.parametrize("depth", [50, 400, 900, 5000])
def test_deep_code(depth: int) -> None:
    """Code that is nested as deep as nobody writes it is read, or is a problem."""
    branches = "if x: pass\n" + "elif x: pass\n" * depth
    for source in (
        "(" * depth + "x" + ")" * depth,
        "x" + ".a" * depth,
        " + ".join(["x"] * depth),
        "[" * depth + "]" * depth,
        branches,
    ):
        found = analyse(source)
        assert found.problem is not None or set(found.facts.reads) <= {"x"}


@pytest.mark.parametrize("case", cases("dataflow_digest"))
def test_digest(case: dict[str, Any]) -> None:
    """Cells that mean the same have the same digest, others have not."""
    one = analyse(case["one"]).digest
    assert (one == analyse(case["same"]).digest) if "same" in case else (one != analyse(case["other"]).digest)


RUNNABLE: dict[str, tuple[str, str]] = {
    "nothing asked": ("import install\nx = 'pip install'", "import install\nx = 'pip install'"),
    "one line": ("!pip install a", ""),
    "among others": ("x = 1\n%pip install a\ny = 2", "x = 1\n\ny = 2"),
    "over lines": ("!pip install \\\n  a \\\n  b\nx = 1", "\n\n\nx = 1"),
    "in a block": ("if c:\n    !pip install a\nelse:\n    x = 1", "if c:\n    pass\nelse:\n    x = 1"),
    "in a block over lines": ("if c:\n    !pip install a \\\n        b\nx", "if c:\n    pass\n\nx"),
    "in a captured cell": ("%%capture\n!pip install a\nx = 1", "%%capture\n\nx = 1"),
    "without its sign": ("pip install a", ""),
    "in a shell cell": ("%%bash\npip install a", "%%bash\npip install a"),
    "with other commands": ("!apt install b && pip install a", "!apt install b && pip install a"),
    "known only later": ("!pip install a=={V}", "!pip install a=={V}"),
    "output kept": ("out = !pip install a", "out = !pip install a"),
    "in a string": ("s = '''\n!pip install a\n'''", "s = '''\n!pip install a\n'''"),
    "not code": ("!pip install a\nx = =", "!pip install a\nx = ="),
    "carriage returns": ("!pip install a\r\nx = 1\r\n", "\r\nx = 1\r\n"),
    "leading blank lines": ("\n\n%pip install a\nx", "\n\n\nx"),
}


@pytest.mark.parametrize("source, wanted", RUNNABLE.values(), ids=RUNNABLE)
def test_runnable(source: str, wanted: str) -> None:
    """Lines that only ask for packages are blank, and no other line moves."""
    assert runnable(source) == wanted


def test_python_keeps_its_lines() -> None:
    """The Python that a cell becomes has every line where it was."""
    found = analyse("\n!ls \\\n  -l\nx = 1\n%time y = x\n")
    assert found.python.split("\n")[3] == "x = 1"


def test_modules_go_from_cell_to_cell() -> None:
    """What names are known to be is handed on, and forgotten when they are bound anew."""
    first = analyse("import numpy as np\nxs = [1]\nimport random")
    second = analyse("np = load()\nfor x in xs: pass", first.modules)
    assert (first.modules["np"], first.modules["xs"]) == ("numpy", "list()")
    assert second.facts.touches == ("load",)
    third = analyse("np.random.seed(0)", {**first.modules, **second.modules})
    assert third.facts.outside == ()


def test_builtins() -> None:
    """Names that every notebook has are known, and told apart from reads."""
    assert {"print", "display", "get_ipython", "In", "Out", "exit", "_", "__name__"} <= BUILTINS
    assert "__file__" not in BUILTINS
    assert analyse("print(max)\ndef f(): return len").builtins == {"print", "max", "len"}


def test_shows() -> None:
    """Whether IPython shows the last value, and so keeps it as `_`."""
    assert [analyse(source).shows for source in ("x", "x;", "x = 1", "f()", "", "if x: y", "x # ;")] == [
        True, False, False, True, False, False, True,
    ]  # fmt: skip


def test_never_imports_what_it_needs_not() -> None:
    """Plain cells are read without IPython, and nothing that a cell names is imported."""
    code = (
        "import sys; from nbvertex.dataflow import analyse\n"
        "analyse('import json.tool, antigravity\\nfrom turtle import *\\nx = f(1)')\n"
        "print(sorted({'IPython', 'json.tool', 'antigravity', 'turtle', 'numpy', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_work_grows_with_the_lines() -> None:
    """Twelve times as many lines are about twelve times the work."""
    line = "df['a{0}'] = df['b'] * {0} + f(k, xs[{0}])\n"

    def work(count: int) -> int:
        source = "".join(line.format(number) for number in range(count))
        return counting.calls(lambda: analyse(source))

    work(10)
    assert work(1200) < 18 * work(100)


@given(st.lists(snippets.statements(), min_size=1, max_size=5))
@settings(max_examples=300)
def test_nothing_happens_that_is_not_told(draft: list[str]) -> None:
    """What a cell is seen to read, bind, delete and change is in its facts."""
    source = "\n".join(draft)
    found = analyse(source)
    facts = found.facts
    names = snippets.start()
    held = dict(names)
    before = {name: snippets.shape(value) for name, value in held.items()}
    printed = snippets.run(source, names)
    hidden = set(snippets.HIDDEN)  # what functions of an earlier cell do
    changed = {name for name, value in held.items() if snippets.shape(value) != before[name]}
    assert changed - hidden <= {*facts.mutates, *facts.touches}
    bound = {name for name in names if name not in held or names[name] is not held[name]}
    assert bound - hidden <= set(facts.binds if printed is not None else found.binds_at)
    assert set(held) - set(names) <= set(facts.deletes)
    if printed is None:
        return
    assert set(facts.surely) <= set(names)
    for name in snippets.NAMES:
        if name not in facts.reads and "rebind" not in facts.reads:
            without = snippets.start()
            del without[name]
            assert snippets.run(source, without) == printed


@given(st.lists(snippets.statements(), min_size=1, max_size=5), st.sampled_from(["# note", "", "   # x = 1"]))
@settings(max_examples=100)
def test_comments_change_no_digest(draft: list[str], note: str) -> None:
    """Comments and blank lines between statements change no digest."""
    assert analyse("\n".join(draft)).digest == analyse(f"\n{note}\n".join(draft) + f"\n{note}").digest


def corpus() -> Path | None:
    """The folder of real notebooks, if there is one."""
    named = os.environ.get("NBVERTEX_CORPUS")
    found = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "corpus"
    return found if found.is_dir() else None


@pytest.mark.skipif(corpus() is None, reason="the real notebooks are not part of the project")
def test_real_notebooks() -> None:
    """Of the code cells of real notebooks, at least 97 % are understood, and all are read."""
    folder = corpus()
    assert folder is not None
    total = broken = 0
    for path in sorted(folder.rglob("*.ipynb")):
        modules: dict[str, str] = {}
        for cell in json.loads(path.read_text("utf-8")).get("cells", ()):
            if cell["cell_type"] == "code":
                found = analyse("".join(cell["source"]), modules)
                modules.update(found.modules)
                total += 1
                broken += found.problem is not None
    print(f"{total} cells, {broken} of them no code: {100 * (total - broken) / total:.2f} % understood")
    assert broken <= 0.03 * total
