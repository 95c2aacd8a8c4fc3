"""The command line, as a user meets it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat
import pytest
from making import cell
from saying import Said, said

from nbvertex import __version__, usage, verbs
from nbvertex.errors import Exit

Make = Callable[..., Path]
Notebook = list[object]

CHAIN: Notebook = [
    cell("n = 3\nname: str = 'a'  # @param ['a', 'b']", "parameters"),
    "# text",
    cell("x = n * 2", "step:double"),
    cell("print('x is', x)", "step:tell"),
]
FAILING: Notebook = [
    cell("x = 1", "step:a"),
    cell("def f(v):\n    return 1 / (v - 1)\n\nprint('before')\nf(x)", "step:b"),
    cell("print(x)", "step:c"),
]
BROKEN: Notebook = [cell("x = (", "step:a"), cell("print(unknown)", "step:b")]


@pytest.fixture
def nbvertex(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Said]:
    """Run the command line in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    return lambda *words: said(capfd, words)


def process(*words: str, cwd: Path, **more: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "nbvertex", *words], cwd=cwd, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **more)  # type: ignore[call-overload,no-any-return]  # fmt: skip


# --- help and version ---------------------------------------------------------------------------------


def test_help_names_every_command(nbvertex: Callable[..., Said]) -> None:
    """In the order of the table, and each has a help of its own."""
    said = nbvertex("--help")
    assert said == Said(0, usage.text(), "")
    assert list(verbs.commands.commands) == list(usage.VERBS)
    for verb, line in usage.VERBS.items():
        assert line in " ".join(nbvertex(verb, "--help").out.split())


def test_help_loads_nothing() -> None:
    """It is there at once, because neither click nor anything of ours that takes time is imported."""
    code = "import sys; from nbvertex import cli; cli.main(['--help']); print(*sys.modules, file=sys.stderr)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stderr.split()
    assert {name for name in loaded if name.startswith("nbvertex")} == {
        "nbvertex",
        "nbvertex.cli",
        "nbvertex.usage",
    }
    assert "click" not in loaded


@pytest.mark.parametrize("words", [("check",), ("show",), ("show", "--svg"), ("params",)])
def test_reading_loads_nothing_heavy(words: Sequence[str], make_notebook: Make) -> None:
    """Neither nbformat nor IPython, nor any of the packages that take a second."""
    path = make_notebook(CHAIN)
    code = "import sys; from nbvertex import cli\ntry: cli.main(sys.argv[1:])\nfinally: print(*sys.modules, file=sys.stderr)"
    found = subprocess.run(
        [sys.executable, "-c", code, *words, str(path)], capture_output=True, text=True, check=True
    )
    loaded = set(found.stderr.split())
    assert not loaded & {
        "nbformat",
        "jupytext",
        "IPython",
        "jinja2",
        "rich",
        "sqlite3",
        "numpy",
        "pandas",
        "fsspec",
        "yaml",
    }


def test_version(nbvertex: Callable[..., Said]) -> None:
    """One line."""
    assert nbvertex("--version") == Said(0, f"nbvertex {__version__}\n", "")


@pytest.mark.parametrize("words", [(), ("runs",)])
def test_without_a_command_there_is_help(words: Sequence[str], nbvertex: Callable[..., Said]) -> None:
    """On stderr, for it is no answer; exit 2."""
    said = nbvertex(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Usage: nbvertex")


# --- wrong usage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, error, hint",
    [
        (["chekc"], "there is no command 'chekc'; did you mean check?", "nbvertex --help"),
        (
            ["zzz"],
            f"there is no command 'zzz'; there are {', '.join(usage.VERBS)}",
            "nbvertex --help",
        ),
        (["runs", "lsit"], "there is no command 'lsit'; did you mean list?", "nbvertex runs --help"),
        (["check"], "missing argument NB", "nbvertex check --help"),
        (["run", "nb.ipynb", "--setp"], "--setp", "nbvertex run --help"),
        (["run", "nb.ipynb", "-p", "n"], "option '-p' requires 2 arguments", None),
        (["run", "nb.ipynb", "a", "b"], "got unexpected extra argument (b)", "nbvertex run --help"),
        (
            ["run", "nb.ipynb", "--split", "lines"],
            "'lines' is not one of 'headings', 'cells'",
            "nbvertex run --help",
        ),
        (["run", "nb.ipynb", "--jobs", "0"], "0 is not in the range x>=1", "nbvertex run --help"),
        (["run", "nb.ipynb", "-", "--json"], "OUT is stdout, where --json prints", "nbvertex run --help"),
        (["run", "nb.ipynb", "nb.ipynb"], "nb.ipynb is the notebook itself", "--overwrite"),
        (["run", "nb.ipynb", "none/x.ipynb"], "there is no folder none", "mkdir -p none"),
        (["run", "nb.ipynb", "--cwd", "none"], "--cwd: there is no folder none", "mkdir -p none"),
        (["run", "nb.ipynb", "-p", "m", "1"], "there is no parameter 'm'", "known: n (int)"),
        (["run", "nb.ipynb", "-r", "n", "1"], "parameter `n` takes a whole number", "-p n 1"),
        (["run", "nb.ipynb", "-p", "name", "c"], "name", None),
        (["run", "nb.ipynb", "-f", "none.yaml"], "none.yaml", None),
        (["run", "nb.ipynb", "-b", "%"], "-b takes YAML in base64", None),
        (["run", "nb.ipynb", "--step", "tel"], "there is no step 'tel'", "the steps are"),
        (["run", "nb.ipynb", "--python", "nowhere"], "'nowhere' is no interpreter", None),
        (["show", "nbs.ipynb"], "nbs.ipynb: there is no such file", "did you mean 'nb.ipynb'?"),
        (["runs", "gc", "--older-than", "soon"], "--older-than takes a time such as 30d", None),
        (["runs", "gc", "--limit", "big"], "--limit takes a size such as 20GB", None),
        (["runs", "show"], "nothing has been run here", "nbvertex run NB"),
        (["check", "-nb.ipynb"], "no such option", "call it ./-nb.ipynb"),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'", "nbvertex completion --help"),
    ],
)
def test_a_wrong_call_is_one_error(
    words: list[str], error: str, hint: str | None, nbvertex: Callable[..., Said], make_notebook: Make
) -> None:
    """`error:` and `hint:` on stderr, exit 2, nothing on stdout, no traceback, and no run."""
    make_notebook(CHAIN)
    make_notebook(CHAIN, name="-nb.ipynb")
    said = nbvertex(*words)
    lines = said.err.splitlines()
    assert (said.code, said.out) == (2, "")
    assert lines[0].startswith("error: ")
    assert error in lines[0]
    assert [line for line in lines if not line.startswith(("error: ", "hint: "))] == []
    if hint is not None:
        assert hint in lines[-1].removeprefix("hint: ")
    assert "Traceback" not in said.err


def test_a_fault_of_our_own() -> None:
    """One line, how to see more, and the exit code of a failure."""
    code = "from nbvertex import console\nraise SystemExit(console.guarded(lambda: 1 // 0, lambda: False))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (Exit.FAILED, "")
    assert found.stderr.splitlines() == [
        "error: unexpected ZeroDivisionError: integer division or modulo by zero",
        "hint: run it again with --debug for the traceback",
    ]


def test_a_folder_that_is_gone(tmp_path: Path, make_notebook: Make) -> None:
    """Whoever stands in it is told so."""
    notebook = make_notebook(CHAIN)
    (tmp_path / "gone").mkdir()
    command = f"cd gone && rmdir ../gone && exec {sys.executable} -m nbvertex run {notebook}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()) == (
        Exit.REFUSED,
        ["error: the current folder has been removed", "hint: go to another one"],
    )


def test_debug_shows_the_traceback(nbvertex: Callable[..., Said]) -> None:
    """And the error all the same."""
    said = nbvertex("show", "none.ipynb", "--debug")
    assert "Traceback (most recent call last)" in said.err
    assert "error: none.ipynb: there is no such file" in said.err


def test_a_notebook_called_like_an_option(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """After `--` a word is a file."""
    make_notebook(CHAIN, name="--json.ipynb")
    assert nbvertex("check", "--", "--json.ipynb").code == 0
    assert nbvertex("check", "./--json.ipynb").code == 0


# --- check, show, params ------------------------------------------------------------------------------


def test_check_tells_every_problem_of_every_notebook(
    nbvertex: Callable[..., Said], make_notebook: Make
) -> None:
    """On stdout, for they are the answer; one unreadable file does not hide the others."""
    make_notebook(CHAIN)
    make_notebook(BROKEN, name="broken.ipynb")
    Path("text.ipynb").write_text("no notebook")
    said = nbvertex("check", "nb.ipynb", "broken.ipynb", "text.ipynb", "none.ipynb")
    lines = [line for line in said.out.splitlines() if not line.startswith("hint: ")]
    assert said.code == 2
    assert lines[0] == "nb.ipynb: 3 steps, no errors"
    assert lines[1].startswith("error: broken.ipynb, cell 1 [step a], line 1: syntax error")
    assert lines[2].startswith("error: broken.ipynb, cell 2 [step b], line 1: `unknown`")
    assert lines[3].startswith("error: text.ipynb: this is not JSON")
    assert lines[4].startswith("error: none.ipynb: there is no such file")
    assert len(lines) == 5


def test_check_as_json(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """One object a notebook, with place, code and hint of each problem."""
    make_notebook(CHAIN)
    make_notebook(BROKEN, name="broken.ipynb")
    said = nbvertex("check", "nb.ipynb", "broken.ipynb", "none.ipynb", "--json")
    good, broken, none = json.loads(said.out)
    assert said.code == 2
    assert good == {"notebook": "nb.ipynb", "ok": True, "steps": ["setup", "double", "tell"], "problems": []}
    assert [(p["severity"], p["cell"], p["line"], p["step"]) for p in broken["problems"]] == [
        ("error", 1, 1, "a"), ("error", 2, 1, "b"),
    ]  # fmt: skip
    assert (none["ok"], none["steps"]) == (False, None)


def test_show(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """Steps and what flows, in four forms; --why names the lines."""
    make_notebook(CHAIN)
    text = nbvertex("show", "nb.ipynb").out
    assert "  double  cell 3\n      from setup: n\n" in text
    assert nbvertex("show", "nb.ipynb", "--mermaid").out.startswith("flowchart TD\n")
    assert nbvertex("show", "nb.ipynb", "--svg").out.startswith("<svg ")
    model = nbvertex("show", "nb.ipynb", "--json").out
    assert [step["name"] for step in json.loads(model)["steps"]] == ["setup", "double", "tell"]
    assert model == nbvertex("show", "nb.ipynb", "--json").out
    assert "written cell 3, line 1" in nbvertex("show", "nb.ipynb", "--why").out


def test_params(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """Name, type, default and what is allowed."""
    make_notebook(CHAIN)
    assert nbvertex("params", "nb.ipynb").out.splitlines() == [
        "n     int = 3",
        "name  str = 'a'  (one of 'a', 'b')",
    ]
    n, name = json.loads(nbvertex("params", "nb.ipynb", "--json").out)
    assert (n["name"], n["kind"], n["default"], n["choices"]) == ("n", "int", 3, [])
    assert name["choices"] == ["a", "b"]


def test_reading_a_broken_notebook(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """Show, params and run tell all errors on stderr and do nothing."""
    make_notebook(BROKEN)
    for words in (["show", "nb.ipynb"], ["params", "nb.ipynb"], ["run", "nb.ipynb"]):
        said = nbvertex(*words)
        assert (said.code, said.out) == (2, "")
        assert said.err.count("error: nb.ipynb") == 2


# --- run ----------------------------------------------------------------------------------------------


def outputs(path: str | Path) -> list[str]:
    """The text that each code cell printed."""
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    return ["".join(o.get("text", "") for o in c.outputs) for c in notebook.cells if c.cell_type == "code"]


def test_run(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """The path of the output notebook on stdout, a line a change on stderr."""
    make_notebook(CHAIN)
    said = nbvertex("run", "nb.ipynb", "out.ipynb", "-p", "n", "5")
    assert (said.code, said.out) == (0, "out.ipynb\n")
    assert "double: running" in said.err.splitlines()
    assert outputs("out.ipynb") == ["", "", "", "x is 10\n"]


def test_run_without_out(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """The output notebook lies in the run's folder, and nothing beside the notebook."""
    make_notebook(CHAIN)
    path = Path(nbvertex("run", "nb.ipynb").out.strip())
    assert path.name == "nb.ipynb"
    assert path.is_relative_to(Path(".nbvertex/runs").absolute())
    assert outputs(path)[-1] == "x is 6\n"
    assert sorted(os.listdir()) == [".nbvertex", "nb.ipynb"]


def test_run_twice(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """The second time steps come from the cache, unless that is not wanted."""
    make_notebook(CHAIN)
    nbvertex("run", "nb.ipynb")
    assert "tell: cached" in nbvertex("run", "nb.ipynb", "out.ipynb").err
    assert outputs("out.ipynb")[-1] == "x is 6\n"
    assert "cached" not in nbvertex("run", "nb.ipynb", "--no-cache").err


def test_run_to_stdout(nbvertex: Callable[..., Said], make_notebook: Make, tmp_path: Path) -> None:
    """As papermill does."""
    make_notebook(CHAIN)
    Path("copy.ipynb").write_text(nbvertex("run", "nb.ipynb", "-").out)
    assert outputs("copy.ipynb")[-1] == "x is 6\n"


def test_run_as_json(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """One object a line, the last with the path; nothing else on either stream."""
    make_notebook(CHAIN)
    said = nbvertex("run", "nb.ipynb", "out.ipynb", "--json")
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert said.err == ""
    assert (rows[0]["event"], rows[0]["steps"]) == ("run", ["setup", "double", "tell"])
    assert {"event": "step", "step": "tell", "state": "done"}.items() <= [
        r for r in rows if r.get("step") == "tell"
    ][-1].items()
    assert (rows[-2]["event"], rows[-2]["state"]) == ("run", "done")
    assert rows[-1] == {"event": "notebook", "run": rows[0]["run"], "path": "out.ipynb"}


def test_run_with_values_from_everywhere(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """-r wins over -p, -p over -y, -y over -f."""
    make_notebook([cell("a = b = c = d = ''", "parameters"), cell("print(a, b, c, d)", "step:s")])
    Path("values.yaml").write_text("{a: f, b: f, c: f, d: f}")
    nbvertex("run", "nb.ipynb", "out.ipynb", "-r", "d", "r", "-p", "c", "p", "-p", "d", "p", "-y", "{b: y, c: y}",
             "-f", "values.yaml")  # fmt: skip
    assert outputs("out.ipynb")[-1] == "f y p r\n"


def test_run_shows_what_cells_print(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """Where that is asked for; progress can be switched off."""
    make_notebook(CHAIN)
    assert "tell | x is 6" in nbvertex("run", "nb.ipynb", "--log-output", "--no-cache").err
    assert nbvertex("run", "nb.ipynb", "--no-progress-bar", "--no-cache").err == ""


def test_run_over_the_notebook_itself(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """Only where it is asked for."""
    make_notebook(CHAIN)
    assert nbvertex("run", "nb.ipynb", "./nb.ipynb", "--overwrite").code == 0
    assert outputs("nb.ipynb")[-1] == "x is 6\n"


def test_a_script_gives_a_notebook(nbvertex: Callable[..., Said]) -> None:
    """Percent cells become cells."""
    Path("nb.py").write_text('# %% tags=["step:a"]\nx = 1\n\n# %% tags=["step:b"]\nprint(x)\n')
    assert nbvertex("run", "nb.py", "out.ipynb").code == 0
    assert outputs("out.ipynb") == ["", "1\n"]


def test_a_failing_cell(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """Its own place and line, its traceback without frames of ours, what was not run, and the notebook; exit 1."""
    make_notebook(FAILING)
    said = nbvertex("run", "nb.ipynb", "out.ipynb")
    lines = said.err.splitlines()
    assert (said.code, said.out) == (1, "out.ipynb\n")
    assert "error: nb.ipynb, cell 2 [step b], line 2: ZeroDivisionError: division by zero" in lines
    assert "not run: c" in lines
    assert "----> 2     return 1 / (v - 1)" in said.err
    assert not any(word in said.err for word in ("runtime", "site-packages", "nbvertex/", "\x1b"))
    assert outputs("out.ipynb")[1] == "before\n"


@pytest.mark.parametrize(
    "said, how", [("sys.exit()", "SystemExit"), ("raise SystemExit(0)", "SystemExit: 0")]
)
def test_a_notebook_may_end_the_run(
    said: str, how: str, nbvertex: Callable[..., Said], make_notebook: Make
) -> None:
    """As under papermill: what comes after is not run, and all is well; no later step can begin there."""
    notebook = str(
        make_notebook([cell("import sys\nx = 1", "step:a"), cell(said, "step:b"), cell("print(x)", "step:c")])
    )
    ran = nbvertex("run", notebook)
    assert (ran.code, ran.err.splitlines()[-2:]) == (
        0,
        [f"{notebook}, cell 2 [step b], line 1 ended the run: {how}", "not run: c"],
    )
    cells = json.loads(Path(ran.out.strip()).read_text())["cells"]
    assert [one["metadata"]["nbvertex"]["state"] for one in cells] == ["done", "done", "skipped"]
    assert nbvertex("runs", "resume").code == Exit.REFUSED
    alone = nbvertex("run", notebook, "--step", "c")
    assert (alone.code, "step b did not end well" in alone.err) == (Exit.REFUSED, True)


def test_unwritable_at_the_end(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """The failure of the step and that of the file are both told."""
    make_notebook(FAILING)
    said = nbvertex("run", "nb.ipynb", "/dev/full")
    assert said.code == 1
    assert "error: the output notebook /dev/full cannot be written: No space left on device" in said.err
    assert "ZeroDivisionError" in said.err
    make_notebook(CHAIN)
    assert nbvertex("run", "nb.ipynb", "/dev/full").code == 2


# --- runs ---------------------------------------------------------------------------------------------


def test_runs(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """List, show and print the runs of a folder, newest first."""
    assert nbvertex("runs", "list", "--json") == Said(0, "[]\n", "")
    make_notebook(CHAIN)
    make_notebook(FAILING, name="failing.ipynb")
    nbvertex("run", "nb.ipynb", "out.ipynb", "-p", "n", "4")
    nbvertex("run", "failing.ipynb")
    failed, good = json.loads(nbvertex("runs", "list", "--json").out)
    assert (failed["state"], good["state"], good["parameters"]) == ("failed", "done", {"n": 4})
    assert [step["state"] for step in good["steps"]] == ["done"] * 3
    assert [line.split()[0] for line in nbvertex("runs", "list").out.splitlines()] == [
        "RUN",
        failed["id"],
        good["id"],
    ]
    assert len(nbvertex("runs", "list", "--notebook", "nb.ipynb").out.splitlines()) == 2
    shown = nbvertex("runs", "show", good["id"]).out
    assert f"run {good['id']}: done" in shown
    assert "n = 4" in shown
    assert "out.ipynb" in shown
    assert "ZeroDivisionError" in nbvertex("runs", "show").out
    assert nbvertex("runs", "logs", good["id"], "tell").out == "--- cell 4 [step tell]: done\nx is 8\n"
    assert "----> 2     return 1 / (v - 1)" in nbvertex("runs", "logs").out
    (tell,) = json.loads(nbvertex("runs", "logs", good["id"], "tell", "--json").out)
    assert tell["cells"][0]["outputs"][0]["text"] == "x is 8\n"


def test_attempts_of_a_step(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """The output notebook has the last one, `runs logs --attempt` the others."""
    source = "import pathlib\np = pathlib.Path('tries')\nn = len(p.read_text()) if p.exists() else 0\n"
    source += "p.write_text('x' * (n + 1))\nprint('attempt', n + 1)\nassert n == 1"
    make_notebook([cell(source, "step:a", "retries:2")])
    assert nbvertex("run", "nb.ipynb", "out.ipynb").code == 0
    assert outputs("out.ipynb") == ["attempt 2\n"]
    assert "attempt 1" in nbvertex("runs", "logs", "last", "a", "--attempt", "1").out
    assert "attempt 2" in nbvertex("runs", "logs", "last", "a").out
    assert (
        nbvertex("runs", "logs", "last", "a", "--attempt", "3").err.splitlines()[1]
        == "hint: there are 1 to 2"
    )


def test_resume(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """Finished steps are not repeated, and the output notebook is where it was to be."""
    make_notebook(
        [
            cell("print('once')", "step:a", "cache:disabled"),
            cell("open('there').read()", "step:b", "in:there"),
        ]
    )
    assert nbvertex("run", "nb.ipynb", "out.ipynb").code == 1
    Path("there").write_text("now")
    said = nbvertex("runs", "resume")
    assert (said.code, said.out) == (0, "out.ipynb\n")
    assert "a: running" not in said.err
    assert outputs("out.ipynb")[0] == "once\n"
    assert nbvertex("runs", "resume").err.startswith("error: run ")


def test_resume_of_a_run_that_left_no_notebook(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """It was killed before it wrote one: the notebook comes into the run's folder all the same."""
    make_notebook([cell("print('once')", "step:a"), cell("open('there').read()", "step:b", "in:there")])
    left = Path(nbvertex("run", "nb.ipynb").out.strip())
    shutil.rmtree(left.parent)
    Path("there").write_text("now")
    said = nbvertex("runs", "resume")
    assert (said.code, said.out) == (0, f"{left}\n")
    assert outputs(left)[0] == "once\n"


def test_gc(nbvertex: Callable[..., Said], make_notebook: Make) -> None:
    """Runs go by number or age; a dry run only says what would go."""
    assert nbvertex("runs", "gc") == Said(0, "removed 0 runs, 0 values, 0.0 MB\n", "")
    make_notebook(CHAIN)
    for _ in range(3):
        nbvertex("run", "nb.ipynb", "--no-cache")
    assert nbvertex("runs", "gc", "--keep", "1", "--dry-run").out.startswith("would remove 2 runs")
    assert len(json.loads(nbvertex("runs", "list", "--json").out)) == 3
    assert len(json.loads(nbvertex("runs", "gc", "--keep", "1", "--json").out)["runs"]) == 2
    assert len(os.listdir(".nbvertex/runs")) == len(json.loads(nbvertex("runs", "list", "--json").out)) == 1
    assert nbvertex("runs", "gc", "--older-than", "1h").out.startswith("removed 0 runs")


# --- doctor and completion ----------------------------------------------------------------------------


def test_doctor(nbvertex: Callable[..., Said]) -> None:
    """What is installed, as lines and as JSON."""
    said = nbvertex("doctor")
    rows = json.loads(nbvertex("doctor", "--json").out)
    assert {row["name"] for row in rows} >= {"python", "nbvertex", "ipython", "kfp", "git", "store"}
    assert len(said.out.splitlines()) == len(rows)
    assert said.code == (1 if any(row["state"] == "wrong" for row in rows) else 0)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str, nbvertex: Callable[..., Said]) -> None:
    """For the three shells that click knows."""
    assert "_NBVERTEX_COMPLETE" in nbvertex("completion", shell).out


@pytest.mark.parametrize(
    "line, words",
    [
        ("nbvertex sh", ["show"]),
        ("nbvertex run nb.ipynb --ste", ["--step"]),
        ("nbvertex run nb.ipynb --step ", ["setup", "double", "tell"]),
        ("nbvertex run nb.ipynb --from d", ["double"]),
        ("nbvertex run nb.ipynb -p ", ["n", "name"]),
        ("nbvertex run none.ipynb --step ", []),
        ("nbvertex runs ", ["list", "show", "logs", "cancel", "resume", "gc"]),
    ],
)
def test_completion(line: str, words: list[str], make_notebook: Make, tmp_path: Path) -> None:
    """Commands, options, steps and parameters."""
    make_notebook(CHAIN)
    position = str(len(line.split()) - (not line.endswith(" ")))
    environ = {
        **os.environ,
        "_NBVERTEX_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": position,
    }
    with process(cwd=tmp_path, env=environ) as found:
        out, _ = found.communicate(timeout=60)
    assert [word.partition(",")[2] for word in out.split()] == words


# --- the process --------------------------------------------------------------------------------------


def test_a_reader_that_leaves(make_notebook: Make, tmp_path: Path) -> None:
    """As with `nbvertex show nb.ipynb --json | head -1`: no complaint."""
    make_notebook(CHAIN)
    with process("show", "nb.ipynb", "--json", cwd=tmp_path) as found:
        assert found.stdout is not None
        found.stdout.close()
        assert found.stderr is not None
        assert found.stderr.read() == ""
        assert found.wait(60) == Exit.OK


SLOW: Notebook = [
    cell("print('first')", "step:a"),
    cell(
        "import time, pathlib\nprint('second', flush=True)\npathlib.Path('begun').touch()\ntime.sleep(60)",
        "step:b",
    ),
    cell("print('third')", "step:c"),
]


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(asked: signal.Signals, make_notebook: Make, tmp_path: Path) -> None:
    """Exit 130, one line, the partial notebook with what was shown, and no process left."""
    make_notebook(SLOW)
    words = ("run", "nb.ipynb", "out.ipynb", "--log-output")
    with process(*words, cwd=tmp_path, start_new_session=True) as found:
        assert found.stdout is not None
        assert found.stderr is not None
        err = ""
        for line in found.stderr:  # until it has ended
            if "second" in line and "second" not in err:
                found.send_signal(asked)
            err += line
        out = found.stdout.read()
    assert (found.returncode, out) == (Exit.INTERRUPTED, "out.ipynb\n")
    assert "error: interrupted" in err.splitlines()
    assert "Traceback" not in err
    notebook = nbformat.read(tmp_path / "out.ipynb", 4)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert [c.metadata["nbvertex"]["state"] for c in code] == ["done", "failed", "skipped"]
    assert "second" in code[1].outputs[0]["text"]
    with pytest.raises(ProcessLookupError):
        os.killpg(found.pid, 0)
