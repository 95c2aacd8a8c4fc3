"""The plug-in in real pytest runs: notebooks collected by step, the law, and the fixture."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import making
import pytest
from making import cell

pytest_plugins = ["pytester"]

GOOD = [
    cell("from beside import SCALE", "setup"),
    cell("n = 3", "parameters"),
    cell("rows = list(range(n))", "step:load"),
    cell("total = sum(rows) * SCALE\nprint('total', total)", "step:train"),
]
BAD = [
    cell("x = 1", "step:a"),
    cell("def f(v):\n    return 1 / v\n\nprint('before')\ny = f(x - 1)", "step:b"),
    cell("z = y", "step:c"),
]
DIFFERS = [
    cell("import sys\nx = 'nbvertex_runtime' in sys.modules", "step:a"),
    cell("print('x is', x)", "step:b"),
]

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Run pytest in a folder of its own, where every warning is an error."""

    def call(*words: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", *words)

    return call


def lines(result: pytest.RunResult) -> str:
    return "\n".join(result.outlines)


def test_steps_are_tests(pytester: pytest.Pytester, run: Run) -> None:
    """Each passes, in a copy of the folder; parameters come from the command line."""
    making.write(
        pytester.path / "good.ipynb", [*GOOD, cell("open('left.txt', 'w').write('x');", "step:write")]
    )
    (pytester.path / "beside.py").write_text("SCALE = 10")
    result = run("--nbvertex", "--nbvertex-p", "n", "4", "-v", "good.ipynb")
    result.assert_outcomes(passed=4)
    for step in ("setup", "load", "train", "write"):
        assert f"good.ipynb::{step} PASSED" in lines(result)
    assert not (pytester.path / "left.txt").exists()


def test_one_step_is_chosen_by_its_name(pytester: pytest.Pytester, run: Run) -> None:
    """As any test is."""
    making.write(pytester.path / "bad.ipynb", BAD)
    run("--nbvertex", "bad.ipynb::a").assert_outcomes(passed=1)
    run("--nbvertex", "bad.ipynb", "-k", "c").assert_outcomes(skipped=1)


def test_a_failure_shows_notebook_cell_and_line(pytester: pytest.Pytester, run: Run) -> None:
    """And the notebook's own traceback; what comes after it was not reached."""
    making.write(pytester.path / "bad.ipynb", BAD)
    result = run("--nbvertex", "-rfs", "bad.ipynb")
    result.assert_outcomes(passed=1, failed=1, skipped=1)
    told = lines(result)
    assert "bad.ipynb, cell 2 [step b], line 2: ZeroDivisionError: division by zero" in told
    assert "----> 2     return 1 / v" in told
    assert "FAILED bad.ipynb::b - bad.ipynb, cell 2 [step b], line 2: ZeroDivisionErr" in told
    assert "SKIPPED [1] bad.ipynb:3: not reached: cell 2: ZeroDivisionError: division by zero" in told
    assert not [
        word
        for word in ("nbvertex/", "site-packages", "runtest", "\x1b")
        if word in told.partition("FAILURES")[2]
    ]


@pytest.mark.parametrize("metadata", [{"verify": True}, "verify"])
def test_the_law_is_a_test_where_the_notebook_asks_for_it(
    pytester: pytest.Pytester, run: Run, metadata: object
) -> None:
    """The steps pass, as they run straight; that they differ as steps is a failure with both sides."""
    making.write(pytester.path / "differs.ipynb", DIFFERS, nbvertex=metadata)
    result = run("--nbvertex", "-v", "differs.ipynb")
    result.assert_outcomes(passed=2, failed=1)
    told = lines(result)
    assert "differs.ipynb::[verify] FAILED" in told
    assert "-x is False" in told
    assert "+x is True" in told
    assert "cause: `x` arrives with another value" in told


def test_the_law_is_a_test_where_the_command_line_asks_for_it(pytester: pytest.Pytester, run: Run) -> None:
    """It holds, also for a notebook that fails in both ways alike."""
    making.write(pytester.path / "bad.ipynb", BAD)
    run("--nbvertex-verify", "bad.ipynb").assert_outcomes(passed=2, failed=1, skipped=1)


def test_steps_that_refuse_break_the_law(pytester: pytest.Pytester, run: Run) -> None:
    """The straight run passes; the refusal is told."""
    making.write(
        pytester.path / "nb.ipynb",
        [cell("g = (i for i in [1, 2])\nnext(g)", "step:a"), cell("next(g)", "step:b")],
    )
    result = run("--nbvertex-verify", "nb.ipynb")
    result.assert_outcomes(passed=2, failed=1)
    assert (
        "nb.ipynb, cell 1 [step a]: `g` (generator): a generator that has begun cannot travel to a later step"
        in lines(result)
    )


def test_a_notebook_with_errors_is_not_collected(pytester: pytest.Pytester, run: Run) -> None:
    """All its problems are told, as `check` does."""
    making.write(pytester.path / "nb.ipynb", [cell("print(nowhere)", "step:a")])
    (pytester.path / "empty.ipynb").write_text("{}")
    result = run("--nbvertex", "nb.ipynb", "empty.ipynb")
    result.assert_outcomes(errors=2)
    assert "error: nb.ipynb, cell 1 [step a], line 1: `nowhere` is defined nowhere" in lines(result)
    assert "Traceback" not in lines(result)


@pytest.mark.parametrize(
    "words, expected",
    [
        (("m", "3"), "--nbvertex-p: no notebook has a parameter 'm'; they have n"),
        (("n", "many"), "parameter `n` takes a whole number, not 'many'"),
    ],
)
def test_a_wrong_parameter_is_refused(
    pytester: pytest.Pytester, run: Run, words: tuple[str, str], expected: str
) -> None:
    """Before anything runs."""
    making.write(pytester.path / "nb.ipynb", [cell("n = 1", "parameters"), cell("print(n)", "step:a")])
    result = run("--nbvertex", "--nbvertex-p", *words, "nb.ipynb")
    assert result.ret != 0
    assert expected in lines(result) + "\n".join(result.errlines)


def test_no_notebook_is_collected_unasked(pytester: pytest.Pytester, run: Run) -> None:
    """Not from a folder, and not where another plug-in collects it: nbval keeps working beside."""
    stored = cell("1 + 1")
    stored["outputs"] = [
        {"output_type": "execute_result", "data": {"text/plain": "2"}, "metadata": {}, "execution_count": 1}
    ]
    stored["execution_count"] = 1
    making.write(pytester.path / "nb.ipynb", [stored])
    assert run().ret == pytest.ExitCode.NO_TESTS_COLLECTED
    only = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--nbval", "nb.ipynb")
    only.assert_outcomes(passed=1)
    both = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--nbval", "--nbvertex", "nb.ipynb")
    both.assert_outcomes(passed=2)


TESTS = '''
import pytest

class Rows(list):
    """Rows of the test's own."""

@pytest.mark.parametrize("rows", [[1], [1, 2]])
def test_inputs(notebook, rows):
    result = notebook("good.ipynb").step("train").run(rows=Rows(rows))
    assert result["total"] == sum(rows) * 10
    assert isinstance(result["rows"], Rows)
    assert result.text == f"total {sum(rows) * 10}\\n"

@pytest.mark.parametrize("n", [1, 5])
def test_parameters(notebook, n):
    assert len(notebook("good.ipynb").step("load").run(n=n)["rows"]) == n

def test_law(notebook):
    assert notebook("good.ipynb").verify(n=2).compared.cells == 4

def test_that_fails(notebook):
    notebook("bad.ipynb").step("b").run(x=1)

def test_that_asks_for_what_is_not_there(notebook):
    notebook("good.ipynb").step("train").run()["totl"]

def test_without_a_file(notebook):
    notebook("nowhere.ipynb")

def test_that_differs(notebook):
    notebook("differs.ipynb").verify()
'''


def test_the_fixture_runs_one_step(pytester: pytest.Pytester, run: Run) -> None:
    """On the test's own values; a failure shows the test's line and the notebook's, and none of ours."""
    for name, cells in (("good", GOOD), ("bad", BAD), ("differs", DIFFERS)):
        making.write(pytester.path / "sub" / f"{name}.ipynb", cells)
    (pytester.path / "sub" / "beside.py").write_text("SCALE = 10")
    pytester.makepyfile(**{"sub/test_it": TESTS})
    result = run("sub")
    result.assert_outcomes(passed=5, failed=4)
    told = lines(result)
    assert '>       notebook("bad.ipynb").step("b").run(x=1)' in told
    assert "StepFailed: bad.ipynb, cell 2 [step b], line 2: ZeroDivisionError: division by zero" in told
    assert "NameError: name 'rows' is not defined" in told
    assert "hint: cell 3 [step load] binds it: hand it over, run(rows=...)" in told
    assert "nowhere.ipynb: there is no such file" in told
    assert "differs.ipynb, cell 2: what cell 2 shows differs between the straight run and the steps" in told
    assert "cause: `x` arrives with another value" in told
    assert not [word for word in ("nbvertex/", "site-packages") if word in told.partition("FAILURES")[2]]


def test_a_fixture_of_the_users_own_wins(pytester: pytest.Pytester, run: Run) -> None:
    """A project that has a fixture of that name keeps it."""
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef notebook():\n    return 'mine'")
    pytester.makepyfile("def test(notebook):\n    assert notebook == 'mine'")
    run().assert_outcomes(passed=1)


def test_it_costs_nothing_unused() -> None:
    """Every pytest run of an environment loads it."""
    code = "import sys, pytest\nbefore = set(sys.modules)\nimport nbvertex.pytest_plugin\nprint(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"nbvertex", "nbvertex.pytest_plugin"}


def test_it_is_found_by_its_entry_point(pytester: pytest.Pytester) -> None:
    """`-p no:nbvertex` leaves it out."""
    folder = Path(pytester.path)
    making.write(folder / "nb.ipynb", [cell("1")])
    result = pytester.runpytest_subprocess("-p", "no:nbvertex", "--nbvertex", "nb.ipynb")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
