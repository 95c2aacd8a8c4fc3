"""Files as cells: every nbformat, scripts, and what is no notebook at all."""

from __future__ import annotations

import contextlib
import copy
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import making
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbvertex import notebook
from nbvertex.errors import NotebookError

CASES = Path(__file__).parent / "cases" / "reading"

PERCENT = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
#     language: python
# ---

# %% [markdown]
# # Title

# %% tags=["parameters"]
n = 3

# %% tags=["step:load", "gpu:1"]
# %matplotlib inline
x = n
"""


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize("minor", [0, 1, 2, 3, 4, 5, 9])
def test_reads_every_minor_version_of_4(tmp_path: Path, minor: int) -> None:
    """Sources, tags, ids and positions are those of the file, whatever its minor version."""
    document = making.document(["# Title", making.cell("x = 1\nx", "step:a", "mine")])
    document["nbformat_minor"] = minor
    document["cells"][1]["source"] = ["x = 1\n", "x"]
    read = notebook.read(write(tmp_path / "nb.ipynb", json.dumps(document)))
    assert [(c.position, c.kind, c.source, c.tags, c.id) for c in read.cells] == [
        (1, "markdown", "# Title", (), "c1"),
        (2, "code", "x = 1\nx", ("step:a", "mine"), "c2"),
    ]
    assert (read.nbformat, read.kernel, read.language) == (4, "python3", "python")


@pytest.mark.parametrize(
    "file, cells",
    [
        ("nbformat1.ipynb", ["x = 1\nx", "words"]),
        ("nbformat2.ipynb", ["# Title", "x = 1\nx", "<b>bold</b>", "print(x)"]),
        ("nbformat3.ipynb", ["## Load", "x = 1\nx", "as it is", "print(x)"]),
    ],
)
def test_reads_old_formats_as_they_would_be_upgraded(file: str, cells: list[str]) -> None:
    """Worksheets become one list of cells; raw() is what nbformat itself would make of the file."""
    import nbformat

    read = notebook.read(CASES / file)
    assert [cell.source for cell in read.cells] == cells
    raw = read.raw()
    nbformat.validate(nbformat.from_dict(raw))
    upgraded = nbformat.convert(nbformat.read(CASES / file, nbformat.NO_CONVERT), 4)
    for cell in upgraded["cells"]:
        del cell["id"]  # made at random
        cell["metadata"].pop("collapsed", None) if file == "nbformat1.ipynb" else None
    assert raw["cells"] == upgraded["cells"]
    assert raw == read.raw(), "the same file gives the same notebook"


@pytest.mark.parametrize("version", [2, 3])
def test_old_formats_as_their_own_writers_write_them(version: int, tmp_path: Path) -> None:
    """Lists of lines have their ends in nbformat 3, and none in 2."""
    import nbformat

    old = getattr(nbformat, f"v{version}")
    output = old.new_output("pyout", "1\n2", output_html="<i>\n</i>", prompt_number=1)
    cells = [old.new_code_cell("x = 1\nfor i in x:\n    pass", outputs=[output]), old.new_code_cell("y")]
    cells.append(old.new_text_cell("markdown", "# a\nb"))
    path = tmp_path / "old.ipynb"
    path.write_text(old.writes_json(old.new_notebook(worksheets=[old.new_worksheet(cells=cells)])))
    read = notebook.read(path)
    assert [cell.source for cell in read.cells] == ["x = 1\nfor i in x:\n    pass", "y", "# a\nb"]
    assert read.raw()["cells"][0]["outputs"][0]["data"] == {"text/plain": "1\n2", "text/html": "<i>\n</i>"}


def test_raw_is_the_whole_file(make_notebook: Callable[..., Path]) -> None:
    """raw() gives outputs and foreign metadata as they are, and a new copy each time."""
    cell = making.cell("1", "step:a", other={"x": [1, None]})
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["é\n"]}]
    path = make_notebook([cell, "text"], kubeflow_notebook={"a": 1})
    read = notebook.read(path)
    raw = read.raw()
    assert raw == json.loads(path.read_text(encoding="utf-8"))
    raw["cells"].clear()
    assert len(read.raw()["cells"]) == 2


def test_raw_fills_what_sloppy_writers_leave_out(tmp_path: Path) -> None:
    """A cell without metadata or outputs gets empty ones, so nobody else has to ask."""
    read = notebook.read(
        write(tmp_path / "a.ipynb", '{"nbformat": 4, "cells": [{"cell_type": "code", "source": null}]}')
    )
    assert read.raw()["cells"] == [
        {"cell_type": "code", "source": "", "metadata": {}, "outputs": [], "execution_count": None}
    ]


NOT_NOTEBOOKS = {
    "empty": ("", "the file is empty"),
    "blank": (" \n", "the file is empty"),
    "not JSON": ('{\n "cells": [,]}', "line 2, column 12"),
    "cut off": ('{"cells": [', "this is not JSON"),
    "web page": ("\n<!DOCTYPE html><html>", "raw file"),
    "LFS pointer": ("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
    "merge conflict": ('{"cells": [\n<<<<<<< HEAD\n]}', "merge conflict"),
    "Python": ("import os\n", ".py"),
    "list": ("[]", "JSON but not a notebook"),
    "number": ("3", "JSON but not a notebook"),
    "null": ("null", "JSON but not a notebook"),
    "object": ("{}", "no `nbformat`"),
    "odd nbformat": ('{"nbformat": "4", "cells": []}', "no `nbformat`"),
    "true nbformat": ('{"nbformat": true, "cells": []}', "no `nbformat`"),
    "nbformat 99": ('{"nbformat": 99, "cells": []}', "nbformat 99"),
    "nbformat 0": ('{"nbformat": 0, "cells": []}', "nbformat 0 "),
    "nbformat 1 without cells": ('{"nbformat": 1}', "no `worksheets`"),
    "no cells": ('{"nbformat": 4}', "no `cells`"),
    "null cells": ('{"nbformat": 4, "cells": null}', "no `cells`"),
    "odd cells": ('{"nbformat": 4, "cells": {}}', "$.cells"),
    "odd cell": ('{"nbformat": 4, "cells": [3]}', "$.cells[0]"),
    "no worksheets": ('{"nbformat": 3, "metadata": {}}', "no `worksheets`"),
    "unknown kind": ('{"nbformat": 4, "cells": [{"cell_type": "video", "source": ""}]}', "cell 1: "),
    "no kind": ('{"nbformat": 4, "cells": [{"source": ""}]}', "cell 1: "),
    "odd source": ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": 3}]}', "cell 1: the cell's source"),
    "odd line": ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": ["a", 3]}]}', "cell 1: the cell's source"),
    "half a character": (r'{"nbformat": 4, "cells": [{"cell_type": "raw", "source": "\ud83d"}]}', "lone surrogate"),
    "null character": (b'{"nbformat": 4, "cells": "\0"}', "this is not JSON"),
    "not UTF-8": ('{"nbformat": 4,\n "x": "é"}'.encode("latin-1"), "line 2 is not UTF-8 (byte 0xe9"),
    "UTF-16": ('{"nbformat": 4, "cells": []}'.encode("utf-16"), "UTF-16"),
    "UTF-16 without mark": ('{"nbformat": 4, "cells": []}'.encode("utf-16-le"), "UTF-16"),
    "UTF-32": ('{"nbformat": 4, "cells": []}'.encode("utf-32"), "UTF-32"),
    "zip": (b"PK\x03\x04\x14\x00\x00\x00\xff", "UTF-"),
    "too deep": ('{"nbformat": 4, "cells": ' + "[" * 100_000 + "]" * 100_000 + "}", "too deep"),
    "endless number": ('{"nbformat": 4, "cells": [], "x": NaN, "y": ' + "1" * 5000 + "}", "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("data, message", NOT_NOTEBOOKS.values(), ids=NOT_NOTEBOOKS)
def test_names_what_is_wrong_with_a_file(tmp_path: Path, data: str | bytes, message: str) -> None:
    """Each kind of bad file gets one error that names the file and the reason; nothing else is ever raised."""
    path = write(tmp_path / "bad.ipynb", data)
    with pytest.raises(NotebookError) as caught:
        notebook.read(path).raw()
    assert str(path) in str(caught.value)
    assert message in f"{caught.value} {caught.value.hint}"
    assert len(str(caught.value)) < 400


def test_names_a_missing_file_and_what_lies_near(tmp_path: Path) -> None:
    """A slip in the name, a folder: the hint names notebooks that are there."""
    write(tmp_path / "churn.ipynb", "{}")
    with pytest.raises(NotebookError, match="there is no such file") as caught:
        notebook.read(tmp_path / "chrun.ipynb")
    assert caught.value.hint == f"did you mean {str(tmp_path / 'churn.ipynb')!r}?"
    with pytest.raises(NotebookError, match="this is a folder") as caught:
        notebook.read(tmp_path)
    assert caught.value.hint == "notebooks in it: churn.ipynb"
    with pytest.raises(NotebookError, match="cannot be read"):
        notebook.read("a\0b.ipynb")
    with pytest.raises(NotebookError, match="no such file"):
        notebook.read(tmp_path / "none" / "x.ipynb")


ACCEPTED: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "byte order mark": (b"\xef\xbb\xbf" + b'{"nbformat": 4, "cells": []}', ()),
    "NaN in outputs": ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": "x", "outputs": [NaN]}]}', ("x",)),
    "half a character in outputs": (
        r'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "x", "outputs": ["\ud83d"]}]}', ("x",),
    ),
    "a whole emoji": (r'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "\ud83d\ude00"}]}', ("😀",)),
    "null in source": ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": "a\\u0000b"}]}', ("a\0b",)),
    "odd metadata": ('{"nbformat": 4, "metadata": 3, "cells": [{"cell_type": "raw", "metadata": [], "id": 7}]}', ("",)),
    "same ids": (
        '{"nbformat": 4, "cells": [{"cell_type": "raw", "id": "i"}, {"cell_type": "raw", "id": "i"}]}', ("", ""),
    ),
    "no cells": ('{"nbformat": 4, "cells": []}', ()),
    "CRLF": ('{"nbformat": 4,\r\n "cells": []}', ()),
}  # fmt: skip


@pytest.mark.parametrize("data, sources", ACCEPTED.values(), ids=ACCEPTED)
def test_takes_what_jupyter_takes(tmp_path: Path, data: str | bytes, sources: tuple[str, ...]) -> None:
    """Files that are odd but open in Jupyter are read, outputs included."""
    read = notebook.read(write(tmp_path / "odd.ipynb", data))
    assert tuple(cell.source for cell in read.cells) == sources
    assert len(read.raw()["cells"]) == len(sources)


@pytest.mark.parametrize(
    "tags, read",
    [
        (["a", " b ", "", 3, None], ("a", "b")),
        ("step:load", ("step:load",)),
        (None, ()),
        ({"a": 1}, ()),
        (7, ()),
    ],
)
def test_takes_odd_tags_as_they_come(
    make_notebook: Callable[..., Path], tags: Any, read: tuple[str, ...]
) -> None:
    """Only texts are tags; the blanks round them are nobody's meaning."""
    cell = making.cell("x = 1")
    cell["metadata"]["tags"] = tags
    assert notebook.read(make_notebook([cell])).cells[0].tags == read


@pytest.mark.parametrize(
    "metadata, kernel, language",
    [
        ({}, "python3", "python"),
        ({"kernelspec": {"name": "ir"}}, "ir", "r"),
        ({"kernelspec": {"name": "julia-1.9", "language": "julia"}}, "julia-1.9", "julia"),
        ({"kernelspec": {"name": "julia-1.9"}}, "julia-1.9", "julia"),
        ({"kernelspec": {"name": "conda-env-x-py", "language": "python"}}, "conda-env-x-py", "python"),
        ({"kernelspec": {"name": "mine"}, "language_info": {"name": "Python"}}, "mine", "python"),
        ({"kernelspec": {"name": "irena"}}, "irena", "python"),
        ({"kernelspec": "python3"}, "python3", "python"),
        ({"kernelspec": {"name": 3}, "language_info": None}, "python3", "python"),
    ],
)
def test_tells_kernel_and_language(tmp_path: Path, metadata: Any, kernel: str, language: str) -> None:
    """The metadata's word counts, then the kernel's name; odd metadata means a Python kernel."""
    document = {"nbformat": 4, "metadata": metadata, "cells": []}
    read = notebook.read(write(tmp_path / "nb.ipynb", json.dumps(document)))
    assert (read.kernel, read.language) == (kernel, language)


def test_reads_percent_scripts(tmp_path: Path) -> None:
    """Cells, tags and magics of a percent script are those that jupytext sees."""
    read = notebook.read(write(tmp_path / "nb.py", PERCENT))
    assert [(c.kind, c.source, c.tags) for c in read.cells] == [
        ("markdown", "# Title", ()),
        ("code", "n = 3", ("parameters",)),
        ("code", "%matplotlib inline\nx = n", ("step:load", "gpu:1")),
    ]
    assert [c["source"] for c in read.raw()["cells"]] == [c.source for c in read.cells]
    assert read.raw()["nbformat"] == 4


@pytest.mark.parametrize(
    "text, cells", [("x = 1\n\nprint(x)\n", ["x = 1\n\nprint(x)"]), ("x = 1\r\ny = 2", ["x = 1\ny = 2"]), ("", []), ("\n", [])]
)  # fmt: skip
def test_reads_a_script_without_marks_as_one_cell(tmp_path: Path, text: str, cells: list[str]) -> None:
    """A plain script is one cell; an empty one has none."""
    read = notebook.read(write(tmp_path / "nb.py", text))
    assert [c.source for c in read.cells] == cells
    assert [c["source"] for c in read.raw()["cells"]] == cells


@pytest.mark.parametrize(
    "text", ["# ---\n# jupyter: [\n# ---\n# %%\nx = 1\n", '# %% tags=["a\nx = 1\n', "# %% [markdown\n# %% \n#%%\n", "# %% {]"]
)  # fmt: skip
def test_odd_scripts_raise_nothing_else(tmp_path: Path, text: str) -> None:
    """Whatever jupytext thinks of a header, the user sees cells or one error."""
    path = write(tmp_path / "nb.py", text)
    with contextlib.suppress(NotebookError):
        notebook.read(path)


def test_steps_over_old_outputs(tmp_path: Path) -> None:
    """A file with 50 MB of old outputs is read without making objects of them."""
    output = {"output_type": "display_data", "metadata": {}, "data": {"text/plain": ["row\n"] * 40}}
    cells = [{**making.cell(f"x{n} = 1"), "outputs": [output] * 200} for n in range(800)]
    path = write(tmp_path / "big.ipynb", json.dumps(making.document(cells)))
    tracemalloc.start()
    try:
        read = notebook.read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(read.cells) == 800
    assert peak < 2.5 * path.stat().st_size


def test_reads_100_000_cells(tmp_path: Path) -> None:
    """A notebook of 100,000 cells is read like any other."""
    path = write(tmp_path / "many.ipynb", json.dumps(making.document([making.cell("x = 1")] * 100_000)))
    assert len(notebook.read(path).cells) == 100_000


def test_imports_nbformat_and_jupytext_only_when_needed(make_notebook: Callable[..., Path]) -> None:
    """Reading nbformat 4 imports neither; both are slow to import."""
    path = make_notebook([making.cell("x = 1", "step:a")])
    code = (
        "import sys; from nbvertex import notebook; notebook.read(sys.argv[1]).raw();"
        "print([m for m in ('nbformat', 'jupytext', 'IPython', 'jsonschema') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Whatever is done to a notebook file, reading it succeeds or raises the one error.

SEED = making.document(
    ["# Title", making.cell("n = 1  # @param {type: 'integer'}", "parameters"), making.cell("%%step a --after b\nn", "prev:c")],
    kubeflow_notebook={"pipeline_name": "p", "steps_defaults": ["label:a:b"]},
)  # fmt: skip
ODD = st.sampled_from(
    [None, True, -1, 4, 3, 99, 1.5, "", "x", "\0", "\ud800", [], {}, ["a"], [None], {"a": 1}, 10**40]
)
json_values = st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


def spots(node: Any) -> list[tuple[Any, Any]]:
    """Every place in some JSON at which a value stands."""
    pairs = (
        list(node.items())
        if isinstance(node, dict)
        else list(enumerate(node))
        if isinstance(node, list)
        else []
    )
    return [(node, key) for key, _ in pairs] + [spot for _, value in pairs for spot in spots(value)]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_mutated_notebooks_raise_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    """A notebook with values replaced, dropped or added, and bytes changed, is read or refused with NotebookError."""
    document = copy.deepcopy(SEED)
    if data.draw(st.booleans()):
        document = {"nbformat": 3, "metadata": {}, "worksheets": [{"cells": document["cells"]}]}
    for _ in range(data.draw(st.integers(1, 4))):
        places = spots(document)
        if not places:
            break
        node, key = places[data.draw(st.integers(0, len(places) - 1))]
        if data.draw(st.booleans()):
            node[key] = copy.deepcopy(data.draw(json_values))
        else:
            del node[key]
    text = json.dumps(document).encode()
    if data.draw(st.integers(0, 4)) == 0:
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.binary(max_size=3)) + text[at + 1 :]
    path = write(tmp_path / "mutated.ipynb", text)
    try:
        read = notebook.read(path)
        raw = read.raw()
    except NotebookError as error:
        hypothesis.event(error.message)
        return
    assert [(cell["cell_type"], cell["source"]) for cell in raw["cells"]] == [
        (c.kind, c.source) for c in read.cells
    ]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.binary(max_size=60))
def test_any_bytes_raise_nothing_else(tmp_path: Path, text: bytes) -> None:
    """Any bytes at all are refused with NotebookError."""
    with pytest.raises(NotebookError):
        notebook.read(write(tmp_path / "bytes.ipynb", text))
