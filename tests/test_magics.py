"""The magics, in a shell of this process and in a real kernel."""

from __future__ import annotations

import atexit
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from making import cell, document
from traitlets.config import Config

import nbvertex
from nbvertex.live import ESCAPES

Make = Callable[..., Path]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """A shell with the magics, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # the shell puts its own there
    made = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    nbvertex.load_ipython_extension(made)
    yield made
    nbvertex.unload_ipython_extension(made)
    atexit.unregister(made.atexit_operations)
    made.atexit_operations()


def run(shell: InteractiveShell, source: str) -> tuple[Any, str, str]:
    """The result of a cell, and what it printed on both streams."""
    with capture_output() as captured:
        result = shell.run_cell(source, store_history=True)
    return result, captured.stdout, captured.stderr


def error(shell: InteractiveShell, source: str) -> str:
    """The one line of a usage error."""
    result, _, err = run(shell, source)
    found = result.error_in_exec or result.error_before_exec
    assert type(found) is UsageError, (source, found)
    assert err.count("UsageError: ") == 1
    assert err.endswith(f"UsageError: {found}\n")
    assert "\n" not in str(found)
    return str(found)


# --- %%step -------------------------------------------------------------------------------------------


def test_a_marked_cell_runs_as_without_its_mark(shell: InteractiveShell) -> None:
    """Names, output, the last value and top-level await."""
    result, out, _ = run(
        shell, "%%step load --retries 2\nimport asyncio\nx = await asyncio.sleep(0, 3)\nprint(x)\nx + 1"
    )
    assert (result.success, result.result, shell.user_ns["x"]) == (True, 4, 3)
    assert out.startswith("3\n")


@pytest.mark.parametrize(
    "source, line",
    [
        ("%%step a\nx = 1\n1/0", 3),
        ("%%parameters\n\n1/0", 3),
        ("%%step a\n%%parameters\n1/0", 3),
        ("%%step a\nx = = 1", 2),
        ("%%step a", 0),
        ("%%step a\nfrom __future__ import annotations\n1/0", 3),
    ],
)
def test_lines_keep_their_numbers(source: str, line: int, shell: InteractiveShell) -> None:
    """In tracebacks and syntax errors, as the cell has them."""
    result, _, _ = run(shell, source)
    found = result.error_in_exec or result.error_before_exec
    if not line:
        assert result.success
    elif isinstance(found, SyntaxError):
        assert found.lineno == line
    else:
        assert isinstance(found, ZeroDivisionError)
        trace = found.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        assert trace is not None
        assert trace.tb_lineno == line


@pytest.mark.parametrize("blank", ["", "\n", "\n\n"])
def test_another_cell_magic_below(blank: str, shell: InteractiveShell) -> None:
    """It takes the rest of the cell, as it would at the top."""
    shell.register_magic_function(lambda line, body: shell.user_ns.update(got=(line, body)), "cell", "keep")
    assert run(shell, f"%%step a\n{blank}%%keep it\none\ntwo\n")[0].success
    assert shell.user_ns["got"] == ("it", "one\ntwo\n")


@pytest.mark.parametrize(
    "source", ["%%steps a\nx = 1", "%%step-a\nx = 1", "x = '''\n%%step a\n'''", "# %%step a\nx = 1"]
)
def test_what_is_no_mark_is_left_alone(source: str, shell: InteractiveShell) -> None:
    """Only a first line that is exactly ours is taken."""
    lines = source.splitlines(keepends=True)
    assert shell._nbvertex.transform(lines) is lines


def test_the_transformer_only_answers(shell: InteractiveShell) -> None:
    """IPython calls it as often as it likes: same answer, same number of lines, nothing else changed."""
    lines = ["%%step a --after b\n", "\n", "x = 1\n", "y"]
    before = dict(shell._nbvertex.steps)
    first = shell._nbvertex.transform(list(lines))
    assert first == shell._nbvertex.transform(list(lines)) == ["#\n", "\n", "x = 1\n", "y"]
    assert shell._nbvertex.steps == before


@pytest.mark.parametrize(
    "line, message",
    [
        ("%%step", "`%%step` needs the name of the step first"),
        ("%%step --after a", "`%%step` needs the name of the step first"),
        ("%%step a b", "'b' on the `%%step` line is no option"),
        ("%%step a --retriez 3", "did you mean `--retries`?"),
        ("%%step a --retries", "`--retries` needs a value"),
        ("%%step a --retries x", "`retries` takes a whole number from 0, not 'x'"),
        ("%%step a/b", "no name for a step"),
        ("%%step a 'b", "the `%%step` line cannot be read"),
        ("%%parameters now", "`%%parameters` takes nothing"),
        ("%%step a --after laod", "there is no step `laod`; did you mean `load`?"),
        ("%%step a --after zzz", "there is no step `zzz`; known: load"),
    ],
)
def test_a_wrong_mark_is_one_line(line: str, message: str, shell: InteractiveShell) -> None:
    """The cell does not run, whatever is in it, and the kernel says error."""
    run(shell, "%%step load\n1")
    assert message in error(shell, f"{line}\nfrom __future__ import annotations\nran = True")
    assert "ran" not in shell.user_ns


def test_after_a_step_of_the_saved_notebook(shell: InteractiveShell, make_notebook: Make) -> None:
    """A kernel that starts in the middle knows the steps above."""
    shell.user_ns["__vsc_ipynb_file__"] = str(
        make_notebook([cell("x = 1", "step:load"), cell("x = (", "step:clean")])
    )
    assert run(shell, "%%step train --after clean\n1")[0].success
    assert "did you mean `clean`?" in error(shell, "%%step train --after claen\n1")


def test_nothing_is_known_nothing_is_refused(shell: InteractiveShell) -> None:
    """Where no step has run and the notebook is not to be found, `check` will tell."""
    assert run(shell, "%%step train --after load\n1")[0].success


def test_unload(shell: InteractiveShell) -> None:
    """Everything is as it was; loading twice is loading once."""
    nbvertex.load_ipython_extension(shell)
    assert shell.input_transformers_cleanup.count(shell._nbvertex.transform) == 1
    matchers = len(shell.Completer.custom_matchers)
    nbvertex.unload_ipython_extension(shell)
    nbvertex.unload_ipython_extension(shell)
    assert len(shell.Completer.custom_matchers) == matchers - 1
    assert not run(shell, "%%step a\nx = 1")[0].success
    assert not run(shell, "%nbvertex --version")[0].success
    nbvertex.load_ipython_extension(shell)


# --- %nbvertex ----------------------------------------------------------------------------------------


@pytest.fixture
def notebook(make_notebook: Make, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The notebook that Jupyter says this kernel belongs to."""
    path = make_notebook([cell("n = 2", "parameters"), cell("print(n)", "step:tell")])
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    return path


def test_the_words_of_the_shell(shell: InteractiveShell, notebook: Path) -> None:
    """They mean this notebook; other notebooks are named."""
    assert run(shell, "%nbvertex check")[1] == f"{notebook}: 2 steps, no errors\n"
    assert run(shell, "%nbvertex params")[1] == "n  int = 2\n"
    assert json.loads(run(shell, "%nbvertex show --json")[1])["name"] == "nb"
    assert run(shell, "%nbvertex --version")[1] == f"nbvertex {nbvertex.__version__}\n"
    assert run(shell, "%nbvertex")[1].startswith("Usage: nbvertex")


def test_run_within_a_notebook(shell: InteractiveShell, notebook: Path) -> None:
    """Progress and path are shown; words are taken as they stand, like the shell's."""
    shell.user_ns["v"] = 9
    result, out, _ = run(shell, "%nbvertex run -p n 5 -y '{}' --no-cache")
    assert result.success
    assert "tell: running" in out
    written = nbformat.read(out.splitlines()[-1], 4)
    assert written.cells[-1].outputs[0].text == "5\n"
    assert "takes a whole number" in error(shell, "%nbvertex run -p n {v}")


def test_show_is_a_picture(shell: InteractiveShell, notebook: Path) -> None:
    """As SVG, with the text beside it for front ends without pictures."""
    shell.display_pub = CapturingDisplayPublisher()
    assert run(shell, "%nbvertex show")[0].success
    (shown,) = shell.display_pub.outputs
    assert shown["data"]["image/svg+xml"].startswith("<svg ")
    assert shown["data"]["text/plain"].startswith("nb.ipynb: 2 steps")


@pytest.mark.parametrize(
    "words", ["check --notebook other.ipynb", "check --notebook=other.ipynb", "check other.ipynb"]
)
def test_another_notebook(words: str, shell: InteractiveShell, make_notebook: Make, notebook: Path) -> None:
    """Named as an option or as in the shell."""
    make_notebook([cell("x = 1")], name="other.ipynb")
    assert run(shell, f"%nbvertex {words}")[1] == "other.ipynb: 1 step, no errors\n"


def test_out_beside_another_notebook(shell: InteractiveShell, make_notebook: Make, notebook: Path) -> None:
    """With `--notebook` the first word is OUT."""
    make_notebook([cell("x = 1")], name="other.ipynb")
    assert run(shell, "%nbvertex run out.ipynb --notebook other.ipynb")[1].endswith("out.ipynb\n")


def test_runs_of_this_notebook(shell: InteractiveShell, notebook: Path) -> None:
    """They are found from within it."""
    run(shell, f"%nbvertex run {notebook} out.ipynb")
    assert json.loads(run(shell, "%nbvertex runs list --json")[1])[0]["state"] == "done"
    assert json.loads(run(shell, "%nbvertex runs list --json --notebook nb.ipynb")[1])[0]["state"] == "done"


@pytest.mark.parametrize(
    "words, message",
    [
        ("chekc", "did you mean check?"),
        ("check --jsn", "--jsn"),
        ("check none.ipynb", "the above is not good"),
        ("show none.ipynb", "there is no such file"),
        ("run -p m 3", "there is no parameter 'm'"),
        ("run 'x", "the line cannot be read: no closing quotation"),
        ("show --notebook", "--notebook needs the path"),
    ],
)
def test_a_wrong_call_is_one_line(words: str, message: str, shell: InteractiveShell, notebook: Path) -> None:
    """And the cell has failed."""
    assert message in error(shell, f"%nbvertex {words}")


@pytest.mark.parametrize("named", [None, "/nowhere/nb.ipynb"])
def test_nobody_says_which_notebook(
    named: str | None, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says how to name it."""
    if named:
        monkeypatch.setenv("JPY_SESSION_NAME", named)
    assert "name it with --notebook PATH" in error(shell, "%nbvertex check")


def test_problems_are_listed(shell: InteractiveShell, make_notebook: Make) -> None:
    """All of them, then one line."""
    make_notebook([cell("x = (", "step:a"), cell("print(unknown)", "step:b")])
    result, _, err = run(shell, "%nbvertex show nb.ipynb")
    assert err.count("error: nb.ipynb, cell ") == 2
    assert str(result.error_in_exec) == "2 problems found"


def test_a_notebook_that_runs_itself(shell: InteractiveShell, make_notebook: Make) -> None:
    """The run stops at the cell that would begin it again, with what to do."""
    make_notebook([cell("%load_ext nbvertex"), cell("%%step a\nprint('a')"), cell("%nbvertex check nb.ipynb", "step:b"),
                   cell("%nbvertex run nb.ipynb", "step:c")])  # fmt: skip
    _, out, err = run(shell, "%nbvertex run nb.ipynb out.ipynb")
    assert "b: done" in out
    assert "this is a run already, so %nbvertex run is refused (tag the cell `skip`)" in err


# --- completion ---------------------------------------------------------------------------------------


def completed(shell: InteractiveShell, line: str) -> list[str]:
    """What the line may become, as a front end applies it."""
    with provisionalcompleter():
        found = list(shell.Completer.completions(line, len(line)))
    return sorted({line[: one.start] + one.text + line[one.end :] for one in found})


@pytest.mark.parametrize(
    "line, expected",
    [
        ("%%step l", ["%%step load"]),
        ("%%step b --ret", ["%%step b --retries"]),
        ("%%step b --service-a", ["%%step b --service-account"]),
        (
            "%%step b --after ",
            ["%%step b --after clean-up", "%%step b --after load", "%%step b --after tell"],
        ),
        ("%%step b --after load,c", ["%%step b --after load,clean-up"]),
        ("%%step b --after clean-", ["%%step b --after clean-up"]),
        ("%nbvertex sh", ["%nbvertex show"]),
        ("%nbvertex show --mer", ["%nbvertex show --mermaid"]),
        ("%nbvertex run --step t", ["%nbvertex run --step tell"]),
        ("%nbvertex run -p ", ["%nbvertex run -p n"]),
        ("%nbvertex runs re", ["%nbvertex runs resume"]),
    ],
)
def test_completion(line: str, expected: Sequence[str], shell: InteractiveShell, notebook: Path) -> None:
    """Commands, options and names of steps; nobody else's guesses beside them."""
    run(shell, "%%step load\n1")
    run(shell, "%%step clean-up\n1")
    assert completed(shell, line) == list(expected)


def test_other_lines_are_completed_as_ever(shell: InteractiveShell) -> None:
    """Ours keeps out of them."""
    shell.user_ns["a_long_name"] = 1
    assert "a_long_name" in completed(shell, "a_long_n")


# --- a real kernel ------------------------------------------------------------------------------------


def test_in_a_kernel(tmp_path: Path) -> None:
    """Run All: marks, await, pictures, errors with status, as in JupyterLab."""
    cells = [
        cell("%load_ext nbvertex"),
        cell("%%step load\nimport asyncio\nx = await asyncio.sleep(0, 20)\nprint('loaded')\nx + 1"),
        cell("%%step clean --after laod\nx = 0", "raises-exception"),
        cell("%%step clean --after load\n\nx / 0", "raises-exception"),
        cell("%%step time\n%%time\ny = x"),
        cell("%nbvertex show --notebook marked.ipynb"),
        cell("%nbvertex check", "raises-exception"),
        cell("print(x, y)"),
    ]
    (tmp_path / "marked.ipynb").write_text(json.dumps(document([cell("a = 1", "step:a")])))
    notebook = nbformat.from_dict(document(cells))
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [c.outputs for c in notebook.cells]
    assert (shown[1][0].text, shown[1][1].data["text/plain"]) == ("loaded\n", "21")
    assert shown[2][0].text == "UsageError: `--after laod`: there is no step `laod`; did you mean `load`?\n"
    assert shown[3][0].ename == "ZeroDivisionError"
    assert "----> 3" in ESCAPES.sub("", "\n".join(shown[3][0].traceback))
    assert "Wall time" in shown[4][0].text
    assert shown[5][0].data["image/svg+xml"].startswith("<svg ")
    assert "name it with --notebook PATH" in shown[6][0].text
    assert shown[7][0].text == "20 20\n"
