"""A run means what Run All means, whatever ends first, fails, or is asked to stop."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pretend
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pretend import chain, pipeline, step

from nbvertex import runner, worker
from nbvertex.errors import Interrupted, ProblemsFound, Refused, StepFailed, StoreError, UsageError
from nbvertex.events import CellOutput, RunEvent, RunResult, StepChanged
from nbvertex.home import Home
from nbvertex.ledger import Ledger, lock_of
from nbvertex.locks import Lock
from nbvertex.pipeline import Options, Parameter, Pipeline, Step


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def run(made: Pipeline, home: Home, pool: pretend.Pool | None = None, **asked: Any) -> RunResult:
    """A run in which nothing waits for time to pass."""
    asked = {"backoff": lambda attempt: 0.0, "jobs": 1, **asked}
    return runner.run(made, home=home, pool_factory=pool or pretend.Pool(), **asked)


def printed(result: RunResult) -> dict[int, str]:
    """Position -> what the cell printed."""
    found: dict[int, str] = {}
    for one in result.steps.values():
        for cell in one.cells.values():
            found[cell.position] = "".join(o["text"] for o in cell.outputs if o["output_type"] == "stream")
    return found


def states(result: RunResult) -> dict[str, str]:
    return {name: one.state for name, one in result.steps.items()}


THREE = chain(("a", "x = [1]\nprint(x)"), ("b", "x.append(2)\ny = 5"), ("c", "print(x, y)"))


def test_values_travel_from_step_to_step(home: Home) -> None:
    """Under every cell stands what Run All prints."""
    result = run(THREE, home)
    assert (result.state, result.error) == ("done", None)
    assert printed(result) == {1: "[1]\n", 2: "", 3: "[1, 2] 5\n"}
    assert states(result) == {"a": "done", "b": "done", "c": "done"}


def test_second_run_takes_everything_from_the_first(home: Home) -> None:
    """No process is started where nothing has changed, and the run says where its outputs are from."""
    first, pool = run(THREE, home), pretend.Pool()
    second = run(THREE, home, pool)
    assert printed(second) == printed(first)
    assert set(states(second).values()) == {"cached"}
    assert {one.source for one in second.steps.values()} == {first.run}
    assert pool.opened == 0


def test_cache_can_be_left_aside(home: Home) -> None:
    """Without the cache every step runs again."""
    run(THREE, home)
    assert set(states(run(THREE, home, cache=False)).values()) == {"done"}


def test_unchanged_value_stops_the_recomputation(home: Home) -> None:
    """A step whose code changed but whose values did not leaves those after it in the cache."""
    run(chain(("a", "x = 2"), ("b", "print(x)")), home)
    result = run(chain(("a", "x = 1 + 1"), ("b", "print(x)")), home)
    assert states(result) == {"a": "done", "b": "cached"}


def test_changed_value_recomputes(home: Home) -> None:
    """A changed value is seen by whoever reads it."""
    run(chain(("a", "x = 2"), ("b", "print(x)")), home)
    result = run(chain(("a", "x = 3"), ("b", "print(x)")), home)
    assert printed(result)[2] == "3\n"


def test_parameters_are_injected_after_their_cell(home: Home) -> None:
    """What the parameters cell derived stays as it was; the value given is what others see."""
    made = pipeline(
        step("a", "n = 1\nm = n * 2", binds=("n", "m"), live=("m", "n")),
        step("b", "print(n, m)", at=2, reads=("m", "n"), needs=("a",)),
        parameters=[Parameter(name="n", kind="int", default=1, cell=1)],
    )
    assert printed(run(made, home, parameters={"n": 7}))[2] == "7 2\n"
    assert printed(run(made, home))[2] == "1 2\n"
    assert printed(run(made, home, parameters={"n": 8}))[2] == "8 2\n"


def test_failing_cell_stops_the_run(home: Home) -> None:
    """Nothing after a failing cell runs, and the error names the cell and the line."""
    pool = pretend.Pool()
    result = run(chain(("a", "x = 1"), ("b", "print('so far')\n1 / 0"), ("c", "effect('c')")), home, pool)
    assert (result.state, states(result)) == ("failed", {"a": "done", "b": "failed", "c": "skipped"})
    assert isinstance(result.error, StepFailed)
    assert (result.error.place.cell, result.error.place.step) == (2, "b")
    assert "division by zero" in str(result.error)
    assert result.steps["c"].why == "not run because step b failed"
    assert [o["output_type"] for o in result.steps["b"].cells[2].outputs] == ["stream", "error"]
    assert pool.effects == []


def test_cell_that_may_fail_stops_nothing(home: Home) -> None:
    """As in Run All, a cell tagged raises-exception shows its error and the next one runs."""
    made = pipeline(step("a", "may_fail = 1 / 0", "print('on')"))
    result = run(made, home)
    assert result.state == "done"
    assert [cell.state for cell in result.steps["a"].cells.values()] == ["failed", "done"]


def test_value_that_cannot_travel_is_refused(home: Home) -> None:
    """The refusal names the value, its type and the mend, and is not tried again."""
    made = pipeline(step("a", "x = object()", binds=("x",), live=("x",), options=Options(retries=3)))
    result = run(made, home)
    assert isinstance(result.error, Refused)
    assert "`x` (object): a thing cannot travel" in str(result.error)
    assert result.error.hint == "keep it within one step"
    assert result.steps["a"].attempt == 1


def test_several_refusals_are_told_at_once(home: Home) -> None:
    """Two values that cannot travel are two problems."""
    job = worker.Refused(
        tuple({"name": n, "type": "T", "cell": 1, "message": "m", "hint": "h"} for n in "xy")
    )
    crash = runner_crash(job)
    assert isinstance(crash, ProblemsFound)
    assert [problem.place.cell for problem in crash.problems] == [1, 1]


@pytest.mark.parametrize(
    "said, told",
    [
        ("", "E"),
        ("x", "E: x"),
        ("a\nb", "E: a ..."),
        ("\n a\n", "E: a"),
        ("x" * 10_000, f"E: {'x' * 500} ..."),
    ],
)
def test_an_error_is_told_in_one_line(said: str, told: str) -> None:
    """However much it says; all of it stands in the notebook."""
    assert runner_crash(worker.Failed(1, "E", said, (), 1)).message == told  # type: ignore[attr-defined]


@pytest.mark.parametrize("place", ["", ": '/home/x/.nbvertex/scratch/run/1-2'"])
def test_a_full_disk_is_told_as_such(place: str) -> None:
    """What could not be written and where, though the system may not name it; and what to do."""
    died = worker.Died(None, None, f"OSError: [Errno {errno.ENOSPC}] No space left on device{place}")
    error = runner_crash(died)
    assert str(error) == "no space left to write the values of step a into /kept: No space left on device"
    assert isinstance(error, StoreError)
    assert all(word in (error.hint or "") for word in ("runs gc", "runs resume", "NBVERTEX_HOME"))


def runner_crash(result: worker.Result) -> Exception:
    from nbvertex.flight import Flight, why_crashed
    from nbvertex.plan import make
    from nbvertex.state import Inputs

    return why_crashed(
        result, Flight(make(THREE, {}).steps[0], 1, Inputs(), early=False), "nb.ipynb", Path("/kept")
    ).error


class Flaky(pretend.Pool):
    """The first attempts of a step end with the death of its process."""

    def __init__(self, deaths: int) -> None:
        super().__init__()
        self.deaths = deaths

    def start(self, job: worker.Job) -> None:
        super().start(job)
        if job.inputs["step"] == "b" and self.deaths:
            self.deaths -= 1
            self._lives[job.id] = iter(
                [
                    worker.CellStarted(job.id, 2, time.time()),
                    worker.Output(job.id, 2, {"output_type": "stream", "name": "stdout", "text": "half"}),
                    worker.Ended(job.id, worker.Died("SIGKILL", None, "killed by SIGKILL")),
                ]
            )


def test_retries_start_from_the_inputs(home: Home) -> None:
    """A retried step sees what it saw the first time, waits longer each time, and only its last attempt counts."""
    made = chain(("a", "x = [1]"), ("b", "x.append(2)"), ("c", "print(x)"))
    retried = replace_options(made, "b", Options(retries=2))
    waited: list[int] = []
    result = run(retried, home, Flaky(2), backoff=lambda attempt: waited.append(attempt) or 0.0)  # type: ignore[func-returns-value]
    assert printed(result)[3] == "[1, 2]\n"
    assert (result.steps["b"].attempt, waited) == (3, [1, 2])
    ledger = Ledger(home)
    attempts = [row for row in ledger.lineage.steps(result.run) if row.name == "b"]
    assert [row.state for row in attempts] == ["failed", "failed", "done"]
    (cell,) = ledger.lineage.cells(attempts[0].outcome or 0)
    assert (cell.state, cell.outputs[0]["text"]) == ("failed", "half")
    ledger.close()


def test_retries_come_to_an_end(home: Home) -> None:
    """When all attempts are used up, the last error is told."""
    result = run(replace_options(THREE, "b", Options(retries=1)), home, Flaky(2))
    assert (result.state, result.steps["b"].attempt) == ("failed", 2)
    assert "SIGKILL" in str(result.error)
    assert isinstance(result.error, StepFailed)
    assert (result.error.place.cell, result.error.hint) == (
        2,
        f"when it is mended, `nbvertex runs resume {result.run}` goes on from here",
    )


def replace_options(made: Pipeline, name: str, options: Options) -> Pipeline:
    import msgspec

    steps = tuple(msgspec.structs.replace(s, options=options) if s.name == name else s for s in made.steps)
    return msgspec.structs.replace(made, steps=steps)


def test_wait_grows_and_is_spread() -> None:
    """Later attempts wait longer, no two the same, none for more than a minute and a half."""
    waits = [[runner.wait_before(attempt) for _ in range(50)] for attempt in (1, 3, 20)]
    assert max(waits[0]) < min(waits[1]) < max(waits[2]) <= 90
    assert all(len(set(one)) > 40 for one in waits)


class Endless(pretend.Pool):
    """A step that does not end by itself; a signal may come while it runs."""

    def __init__(self, number: int | None = None) -> None:
        super().__init__()
        self.number = number

    def poll(self, timeout: float | None) -> list[worker.Event]:
        if self._told or not self._lives:
            return super().poll(timeout)
        if self.number is not None:
            os.kill(os.getpid(), self.number)
        time.sleep(timeout or 0.0)
        return []


def test_timeout_ends_the_attempt(home: Home) -> None:
    """A step whose time is over is stopped, and the error says so."""
    result = run(replace_options(THREE, "a", Options(timeout=0.05)), home, Endless())
    assert isinstance(result.error, StepFailed)
    assert "timed out after 0.05 seconds" in str(result.error)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_the_run(home: Home, number: int) -> None:
    """Whoever asks to stop gets what was done so far, no process left, and the command that goes on."""
    pool = Endless(number)
    before = signal.getsignal(number)
    result = run(THREE, home, pool)
    assert (result.state, pool.closed) == ("interrupted", 1)
    assert isinstance(result.error, Interrupted)
    assert f"runs resume {result.run}" in (result.error.hint or "")
    assert signal.getsignal(number) is before


# --- side by side ---------------------------------------------------------------------------------------


def two_models(first: str = "print(x + 1)", second: str = "print(x + 2)") -> Pipeline:
    """A step and two that read from it, neither needing the other."""
    return pipeline(
        step("load", "x = 1", binds=("x",), live=("x",)),
        step("one", first, at=2, reads=("x",), live=("x",), needs=("load",)),
        step("two", second, at=3, reads=("x",), needs=("load",)),
    )


def last(jobs: Sequence[str]) -> str:
    return jobs[-1]


def test_independent_steps_run_side_by_side(home: Home) -> None:
    """The second of two independent steps starts before the first has ended."""
    events: list[RunEvent] = []
    result = run(two_models(), home, pretend.Pool(last), jobs=2, on_event=events.append)
    assert printed(result) == {1: "", 2: "2\n", 3: "3\n"}
    told = [(e.step, e.state) for e in events if isinstance(e, StepChanged)]
    assert told.index(("two", "running")) < told.index(("one", "done"))
    shown = [e.step for e in events if isinstance(e, CellOutput)]
    assert shown == ["two", "one"]


def test_one_job_is_one_after_the_other(home: Home) -> None:
    """With one job nothing starts before its turn."""
    events: list[RunEvent] = []
    run(two_models(), home, pretend.Pool(last), jobs=1, on_event=events.append)
    told = [(e.step, e.state) for e in events if isinstance(e, StepChanged)]
    assert told.index(("one", "done")) < told.index(("two", "running"))


def test_change_that_nobody_foresaw_runs_the_reader_again(home: Home) -> None:
    """A step that started early on what an earlier one then changed is run again, and told so."""
    made = pipeline(
        step("load", "x = [1]", binds=("x",), live=("x",)),
        step("one", "x.append(9)", at=2, reads=("x",), touches=("x",), live=("x",), needs=("load",)),
        step("two", "print(x)", at=3, reads=("x",), needs=("load",)),
    )
    events: list[RunEvent] = []
    pool = pretend.Pool(last)
    result = run(made, home, pool, jobs=2, on_event=events.append)
    assert printed(result)[3] == "[1, 9]\n"
    assert pool.started == ["load", "one", "two", "two"]
    assert [e.again for e in events if isinstance(e, StepChanged) and e.step == "two"] == [
        None,
        "stale",
        None,
    ]


class Referring(pretend.Pool):
    """What step c leaves is read with what step b has left, as an instance is with its class."""

    def _result(self, job: worker.Job, *args: Any) -> worker.Result:
        result = super()._result(job, *args)
        if job.inputs["step"] == "c" and isinstance(result, worker.Done):
            for record in result.artifacts:
                record["refs"] = ["b:y"]
        return result


def test_nothing_starts_on_what_runs_again(home: Home) -> None:
    """b ran too early and begins anew, while what c made of it stands: the step after c waits, and all ends well."""
    steps = [
        step("s", "x = 1", binds=("x",), live=("x",)),
        step("a", "x = 2", at=2, binds=("x",), live=("x",), needs=("s",)),
        step("b", "y = x", at=3, reads=("x",), binds=("y",), live=("x", "y"), needs=("s",)),
        step("c", "z = y", at=4, reads=("y",), binds=("z",), live=("y", "z"), needs=("b",)),
        step("d", "w = z", at=5, reads=("z",), binds=("w",), live=("w", "z"), needs=("c",)),
        step("e", "print(z)", at=6, reads=("z",), needs=("c",)),
    ]
    turns = ["s", "b", "c", "a", "d", "e", "b"]

    def choose(jobs: Sequence[str]) -> str:
        late = [name for name in ("b",) if pool.started.count(name) > 1]
        return min(jobs, key=lambda job: 9 if job.split("#")[0] in late else turns.index(job.split("#")[0]))

    pool = Referring(choose)
    result = run(pipeline(*steps), home, pool, jobs=2)
    assert (result.error, printed(result)[6]) == (None, "2\n")
    assert pool.started[:4] == ["s", "a", "b", "c"]
    assert pool.started.count("b") == 2


def test_early_failure_on_stale_inputs_is_none(home: Home) -> None:
    """An early step may fail because it ran too early; only what Run All would show counts."""
    made = pipeline(
        step("load", "x = []", binds=("x",), live=("x",)),
        step("one", "x.append(9)", at=2, reads=("x",), live=("x",), needs=("load",)),
        step("two", "print(x[0])", at=3, reads=("x",), needs=("load",)),
    )
    result = run(made, home, pretend.Pool(last), jobs=2)
    assert (result.state, printed(result)[3]) == ("done", "9\n")


def test_effects_keep_the_notebooks_order(home: Home) -> None:
    """What others can see waits until everything before it is done."""
    pool = pretend.Pool(last)
    run(two_models("effect('one')", "effect('two')"), home, pool, jobs=2)
    assert pool.effects == ["one", "two"]


def test_no_effect_after_a_failure(home: Home) -> None:
    """A step that started early leaves no trace when an earlier one fails."""
    pool = pretend.Pool(last)
    result = run(two_models("1 / 0", "effect('two')"), home, pool, jobs=2)
    assert (states(result)["two"], pool.effects) == ("skipped", [])


def test_name_bound_later_is_noticed(home: Home) -> None:
    """A name that was not there when a step began, and is now, makes it run again."""
    made = pipeline(
        step("one", "y = 1", binds=("y",), live=("y",)),
        step("two", "print('y' in globals() and y)", at=2, reads=("y",)),
    )
    assert printed(run(made, home, pretend.Pool(last), jobs=2))[2] == "1\n"


@pytest.mark.parametrize(
    "changed, starts",
    [("outside_random = 2", 2), ("outside_cwd = 'there'", 3)],
    ids=["drawn by nobody else", "seen by everybody"],
)
def test_state_outside_the_names(home: Home, changed: str, starts: int) -> None:
    """Random state that an early step never used does not count; any other state does."""
    made = pipeline(
        step("one", changed, outside=("random",)),
        step("two", "print(1)", at=2),
    )
    pool = pretend.Pool(last)
    assert printed(run(made, home, pool, jobs=2))[2] == "1\n"
    assert len(pool.started) == starts


# --- the law, on drawn programs -------------------------------------------------------------------------

NAMES = ("p", "q", "r")


@st.composite
def programs(draw: st.DrawFn) -> list[list[tuple[str, str, str, bool]]]:
    """Steps of statements: (source, what it reads, what it writes, whether that can be seen beforehand)."""

    def statement(number: int) -> tuple[str, str, str, bool]:
        kind = draw(st.sampled_from(["bind", "derive", "grow", "grow", "show", "show", "effect", "fail"]))
        name, other = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMES))
        match kind:
            case "bind":
                return f"{name} = [{number}]", "", name, True
            case "derive":
                return f"{name} = {other} + [{number}]", other, name, True
            case "grow":
                return f"{name}.append({number})", name, name, draw(st.booleans())
            case "show":
                return f"print({name})", name, "", True
            case "effect":
                return f"effect('{number}')", "", "", True
        return ("1 / 0" if draw(st.integers(0, 5)) == 0 else "pass"), "", "", True

    count = draw(st.integers(1, 7))
    return [[statement(10 * s + n) for n in range(draw(st.integers(1, 3)))] for s in range(count)]


def built(program: list[list[tuple[str, str, str, bool]]]) -> Pipeline:
    """The program as a pipeline that begins with all names bound, its needs found as an analysis would."""
    steps: list[Step] = [step("begin", "p = ['p']\nq = ['q']\nr = ['r']", binds=NAMES, live=NAMES)]
    writers: dict[str, set[str]] = {name: {"begin"} for name in NAMES}
    for place, statements in enumerate(program):
        name = f"s{place}"
        reads = {read for _, read, _, _ in statements if read}
        needs = {source for read in reads for source in writers[read]}
        steps.append(
            step(
                name,
                "\n".join(source for source, _, _, _ in statements),
                at=place + 2,
                reads=tuple(sorted(reads)),
                live=NAMES,
                needs=tuple(sorted(needs)),
            )
        )
        for source, _, written, seen in statements:
            if written and seen:
                writers[written] = {name} if " = " in source else writers[written] | {name}
    return pipeline(*steps)


def run_all(made: Pipeline) -> tuple[dict[int, str], list[str]]:
    """What Run All prints and does."""
    effects: list[str] = []
    shown: dict[int, str] = {}
    namespace: dict[str, Any] = {"effect": effects.append}
    for one in made.steps:
        for cell in one.cells:
            out = io.StringIO()
            failed = False
            with contextlib.redirect_stdout(out):
                try:
                    exec(cell.source, namespace)
                except Exception:
                    failed = True
            shown[cell.position] = out.getvalue()
            if failed:
                return shown, effects
    return shown, effects


@settings(max_examples=60)
@given(program=programs(), seed=st.integers(0, 2**32), jobs=st.integers(1, 4), cached=st.booleans())
def test_run_means_run_all(
    tmp_path_factory: pytest.TempPathFactory,
    program: list[list[tuple[str, str, str, bool]]],
    seed: int,
    jobs: int,
    cached: bool,
) -> None:
    """Whatever runs side by side and ends in whatever order: outputs and effects are Run All's."""
    made = built(program)
    home = Home(tmp_path_factory.mktemp("law"))
    if cached:
        run(built(program[: len(program) // 2 + 1]), home)
    draw = random.Random(seed)
    pool = pretend.Pool(lambda running: draw.choice(list(running)))
    result = run(made, home, pool, jobs=jobs)
    shown, effects = run_all(made)
    taken = [
        line[8:-2]
        for one in made.steps
        if result.steps[one.name].state == "cached"
        for line in one.cells[0].source.splitlines()
        if line.startswith("effect")
    ]
    assert {p: text for p, text in printed(result).items() if p in shown} == shown
    assert [effect for effect in effects if effect not in taken] == pool.effects
    assert (result.state == "failed") == (
        len(shown) < len(made.steps) or "1 / 0" in made.steps[-1].cells[0].source
    )


# --- one step, from a step, resumed ---------------------------------------------------------------------


def test_one_step_on_what_was_saved(home: Home) -> None:
    """One step runs on what the newest run left before it; the others show what they showed."""
    first, pool = run(THREE, home), pretend.Pool()
    result = run(THREE, home, pool, only="b", cache=False)
    assert states(result) == {"a": "cached", "b": "done", "c": "skipped"}
    assert (pool.started, result.steps["a"].source) == (["b"], first.run)
    assert printed(result)[1] == "[1]\n"


def test_from_a_step_on(home: Home) -> None:
    """From a step on, all the later ones run."""
    run(THREE, home)
    result = run(THREE, home, start="b", cache=False)
    assert states(result) == {"a": "cached", "b": "done", "c": "done"}
    assert printed(result)[3] == "[1, 2] 5\n"


def test_one_step_after_a_run_of_one_step(home: Home) -> None:
    """A run of one step is as good a beginning as any for the next."""
    run(chain(("a", "x = [1]"), ("b", "x.append(2)"), ("c", "print(x)")), home)
    other = chain(("a", "x = [1]"), ("b", "x.append(3)"), ("c", "print(x)"))
    assert run(other, home, only="b").steps["b"].state == "done"
    assert printed(run(other, home, only="c"))[3] == "[1, 3]\n"


def with_parameters() -> Pipeline:
    return pipeline(
        step("a", "n = 1", binds=("n",), live=("n",)),
        step("b", "m = 2", at=2, binds=("m",), live=("m", "n"), needs=("a",)),
        step("c", "print(n, m)", at=3, reads=("m", "n"), needs=("b",)),
        parameters=[Parameter(name="n", cell=1), Parameter(name="m", cell=2)],
    )


def test_parameters_of_one_step(home: Home) -> None:
    """A run from a step on keeps the values of the run it starts from, and takes new ones for its own steps."""
    run(with_parameters(), home, parameters={"n": 7})
    result = run(with_parameters(), home, start="b", parameters={"m": 8})
    assert (printed(result)[3], result.parameters) == ("7 8\n", {"n": 7, "m": 8})


def test_parameter_of_a_step_that_does_not_run(home: Home) -> None:
    """Another value for a step that is not run again would be left out in silence, so it is refused."""
    run(with_parameters(), home, parameters={"n": 7})
    with pytest.raises(Refused, match="parameter n belongs to step a"):
        run(with_parameters(), home, start="b", parameters={"n": 8})
    assert printed(run(with_parameters(), home, start="b", parameters={"n": 7}))[3] == "7 2\n"


def test_one_step_without_a_run(home: Home) -> None:
    """Without an earlier run there is nothing to start from, and the error says what to do."""
    with pytest.raises(Refused, match="has not been run yet") as caught:
        run(THREE, home, only="b")
    assert caught.value.hint is not None


def test_one_step_whose_beginning_has_changed(home: Home) -> None:
    """What a step reads must be what the notebook as it stands would give it."""
    run(THREE, home)
    changed = chain(("a", "x = [3]\nprint(x)"), ("b", "x.append(2)\ny = 5"), ("c", "print(x, y)"))
    with pytest.raises(Refused, match="the code of step a has changed"):
        run(changed, home, only="b")


def test_unknown_step_names_the_known(home: Home) -> None:
    """A step that is not there is a usage error that lists what there is."""
    with pytest.raises(UsageError) as caught:
        run(THREE, home, only="d")
    assert "a, b, c" in (caught.value.hint or "")


def test_resume_after_a_failure(home: Home) -> None:
    """A mended notebook goes on where it failed; what was done is not done again."""
    broken = chain(("a", "x = 1\neffect('a')"), ("b", "1 / 0"), ("c", "print(x)"))
    mended = chain(("a", "x = 1\neffect('a')"), ("b", "pass"), ("c", "print(x)"))
    first, pool = run(broken, home, cache=False), pretend.Pool()
    result = run(mended, home, pool, resume=first.run, cache=False)
    assert (result.run, result.state, pool.effects) == (first.run, "done", [])
    assert states(result) == {"a": "done", "b": "done", "c": "done"}
    assert (result.steps["b"].attempt, printed(result)[3]) == (2, "1\n")


@pytest.mark.parametrize(
    "made, message",
    [
        (chain(("a", "x = 2"), ("b", "pass"), ("c", "print(x)")), "the code of step a has changed"),
        (chain(("new", "pass"), ("a", "x = 1"), ("b", "pass")), "step a is no longer where it was"),
    ],
    ids=["changed", "moved"],
)
def test_resume_refuses_another_notebook(home: Home, made: Pipeline, message: str) -> None:
    """What a finished step did must be what it would do now."""
    first = run(chain(("a", "x = 1"), ("b", "1 / 0"), ("c", "print(x)")), home)
    with pytest.raises(Refused, match=message):
        run(made, home, resume=first.run)


def test_resume_needs_the_names_that_are_read_now(home: Home) -> None:
    """A name that a finished step did not keep cannot be read by a step that was changed since."""
    first = run(
        pipeline(
            step("a", "x = 1\ny = 2", binds=("x", "y"), live=("x",)), step("b", "1 / 0", at=2, needs=("a",))
        ),
        home,
    )
    changed = pipeline(
        step("a", "x = 1\ny = 2", binds=("x", "y"), live=("x", "y")),
        step("b", "print(y)", at=2, reads=("y",)),
    )
    with pytest.raises(Refused, match="step a did not keep y"):
        run(changed, home, resume=first.run)


def test_resume_of_a_good_run(home: Home) -> None:
    """There is nothing to resume where all went well."""
    first = run(THREE, home)
    with pytest.raises(UsageError, match="nothing to resume"):
        run(THREE, home, resume=first.run)


def test_resume_of_a_run_that_still_runs(home: Home) -> None:
    """Two processes never work on one run."""
    first = run(chain(("a", "1 / 0")), home)
    with Lock(lock_of(home, first.run)), pytest.raises(UsageError, match="still running"):
        run(chain(("a", "1 / 0")), home, resume=first.run)


def test_resume_keeps_the_parameters(home: Home) -> None:
    """A resumed run has the values it began with, and no others."""
    made = pipeline(
        step("a", "n = 1", binds=("n",), live=("n",)),
        step("b", "1 / 0", at=2, needs=("a",)),
        parameters=[Parameter(name="n", cell=1)],
    )
    first = run(made, home, parameters={"n": 7})
    assert run(made, home, resume=first.run).parameters == {"n": 7}
    with pytest.raises(UsageError, match="another value for parameter n"):
        run(made, home, resume=first.run, parameters={"n": 8})


# --- a store that cannot be trusted ---------------------------------------------------------------------

BIG = "x" * 70_000


@pytest.mark.parametrize("source", ["x = [1]", f"x = ['{BIG}']"], ids=["in the database", "in a file"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_damaged_artifact_is_computed_again(home: Home, source: str, harm: str) -> None:
    """Whatever happened to a stored value: it is noticed, made again, and the answer is right."""
    made = chain(("a", source), ("b", "y = x[:]"), ("c", "print(len(str(y)))"))
    other = chain(("a", source), ("b", "y = x[:]"), ("c", "print(len(str(x)), len(str(y)))"))
    good = run(made, home)
    spoil(home, harm)
    result = run(other, home)
    expected = printed(good)[3].strip()
    assert printed(result)[3] == f"{expected} {expected}\n"
    assert result.state == "done"


def spoil(home: Home, harm: str) -> None:
    """Damage everything that is stored."""
    ledger = Ledger(home)
    with ledger.database.write() as tx:
        for digest, data in tx.rows("SELECT digest, data FROM blobs"):
            if harm == "remove":
                tx.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
            else:
                bad = data[:-1] if harm == "cut" else bytes([data[0] ^ 1]) + data[1:]
                tx.execute("UPDATE blobs SET data = ? WHERE digest = ?", (bad, digest))
    for _, path in list(ledger.store.files()):
        data = path.read_bytes()
        path.unlink()
        if harm != "remove":
            path.write_bytes(data[:-1] if harm == "cut" else bytes([data[0] ^ 1]) + data[1:])
    ledger.close()


def test_damage_behind_steps_with_effects(home: Home) -> None:
    """Only the step whose value was damaged runs again; those after it stand if it makes the same."""
    made = chain(
        ("a", "x = [1]"), ("b", "effect('b')\ny = 2"), ("c", "print(x, y)"), reads={"b": [], "c": ["x", "y"]}
    )
    broken = replace_source(made, "c", "1 / 0")
    first = run(broken, home, cache=False)
    ledger = Ledger(home)
    with ledger.database.write() as tx:
        tx.execute("UPDATE blobs SET data = x'00' WHERE CAST(data AS TEXT) LIKE '%a:x%'")
    ledger.close()
    pool = pretend.Pool()
    result = run(made, home, pool, resume=first.run, cache=False)
    assert printed(result)[3] == "[1] 2\n"
    assert (pool.started, pool.effects) == (["a", "c"], [])


def replace_source(made: Pipeline, name: str, source: str) -> Pipeline:
    import hashlib

    import msgspec

    def changed(one: Step) -> Step:
        cell = msgspec.structs.replace(
            one.cells[0], source=source, digest=hashlib.sha256(source.encode()).hexdigest()
        )
        return msgspec.structs.replace(one, cells=(cell,))

    return msgspec.structs.replace(made, steps=tuple(changed(s) if s.name == name else s for s in made.steps))


def test_damage_where_nothing_can_be_computed_again(home: Home) -> None:
    """A single step on damaged inputs is an error that says what to do."""
    run(chain(("a", "x = [1]"), ("b", "print(x)")), home)
    spoil(home, "flip")
    result = run(chain(("a", "x = [1]"), ("b", "print(x, 1)")), home, only="b")
    assert isinstance(result.error, StoreError)
    assert result.error.hint is not None
