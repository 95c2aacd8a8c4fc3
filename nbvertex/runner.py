"""A pipeline runs here: prepared, conducted to its end, and told as one result."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from nbvertex import past as pasts
from nbvertex import plan as plans
from nbvertex.cache import Keys
from nbvertex.course import Course
from nbvertex.deck import Deck, Processes, Settings
from nbvertex.displays import settled
from nbvertex.environment import Packages, interpreter
from nbvertex.errors import Interrupted, NbvertexError, StepFailed
from nbvertex.events import CellResult, RunEnded, RunEvent, RunResult, RunStarted, RunState, StepResult
from nbvertex.files import Files
from nbvertex.home import Home
from nbvertex.interrupts import Interrupts
from nbvertex.ledger import Ledger
from nbvertex.lineage import Run
from nbvertex.past import Past
from nbvertex.pipeline import Pipeline, dump
from nbvertex.plan import Plan
from nbvertex.repository import Repository

MISSING = re.compile(r"ModuleNotFoundError: No module named '(\w+)")
NOT_A_NAME = re.compile(r"[^\w.-]")  # what ends the name in a requirement


def wait_before(attempt: int) -> float:
    """Seconds to wait after a failed attempt: about 1, 2, 4, ... up to 60, spread by chance."""
    import random

    return float(min(60.0, 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.5))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a run; see `run`."""

    pipeline: Pipeline
    notebook: Path | None
    parameters: Mapping[str, Any]
    cwd: Path | None
    python: str | None
    only: str | None
    start: str | None
    resume: str | None

    @property
    def name(self) -> str:
        """What the runs of the notebook are found by."""
        return os.path.abspath(self.notebook) if self.notebook is not None else self.pipeline.notebook

    @property
    def shown(self) -> str:
        """The notebook as the user named it."""
        return str(self.notebook) if self.notebook is not None else self.pipeline.notebook


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that can begin.

    Args:
        row: the run's row; without an id where it is a new one.
        plan: what is to be done.
        packages: what its Python has installed.
        version: that Python's.
        past: the run that it goes on with, or that it takes its beginning from.
    """

    row: Run
    plan: Plan
    packages: Packages
    version: str
    past: Past | None = None


def run(
    pipeline: Pipeline,
    *,
    home: Home,
    notebook: Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    cwd: Path | None = None,
    jobs: int | None = None,
    python: str | None = None,
    cache: bool = True,
    only: str | None = None,
    start: str | None = None,
    resume: str | None = None,
    output_limit: int = 10_000_000,
    bucket: str | None = None,
    survey: tuple[int, ...] = (),
    environ: Mapping[str, str] = os.environ,
    on_event: Callable[[RunEvent], None] = lambda event: None,
    pool_factory: Callable[..., Processes] | None = None,
    backoff: Callable[[int], float] = wait_before,
) -> RunResult:
    """Run a pipeline on this machine.

    Args:
        pipeline: what is run.
        home: where everything is kept.
        notebook: the file it was made of, for messages and to find its runs again.
        parameters: values for parameters, by name, already checked.
        cwd: the working folder of every step; by default the current one.
        jobs: how many steps compute at the same time; by default as many as there are processors.
        python: the interpreter of the steps; by default this one.
        cache: take the results of earlier runs where nothing has changed.
        only: run this step alone, on what the newest run left before it.
        start: run from this step on, likewise.
        resume: go on with this run, which ended too early; by default in its folder and with its Python.
        output_limit: bytes of output kept per cell.
        bucket: a URL where large values are kept as well; anything that fsspec knows.
        survey: the cells before which the values of all names are told, and 0: after each step's last.
        environ: the environment variables of the steps.
        on_event: hears what happens while it happens.
        pool_factory: makes the processes; by default `worker.Pool`.
        backoff: seconds to wait after attempt n of a step with retries.

    Returns:
        what every cell did, and in ``error`` what is to be told of a run that did not end well.

    Raises:
        StoreError: the home cannot be read or written.
        UsageError: there is no such step or run, or it is still running.
        Refused: what an earlier run left does not fit.
    """
    asked = Asked(pipeline, notebook, parameters or {}, cwd, python, only, start, resume)
    ledger = Ledger(home, bucket)
    try:
        prepared = _prepared(asked, ledger)
        row, plan = prepared.row, prepared.plan
        if resume is None:
            ledger.begin(row, [(step.name, step.identity) for step in plan.steps])
        else:
            ledger.reopen(row.id)
        environ = {"PYTHONHASHSEED": "0", **environ}
        settings = Settings(asked.shown, row.cwd, output_limit=output_limit, survey=survey)
        deck = Deck(ledger, settings, lambda: _opened(pool_factory, prepared, environ), on_event)
        files = Files(
            Path(row.cwd), prepared.packages.interpreter.owns, (str(home.folder), str(Path(__file__).parent))
        )
        conductor = Course(
            plan,
            ledger,
            deck,
            keys=Keys(plan.steps, prepared.packages, prepared.version, files, environ) if cache else None,
            files=files,
            jobs=jobs or _processors(),
            backoff=backoff,
            tell=on_event,
        )
        with Repository(notebook.absolute().parent if notebook is not None else Path.cwd()) as repository:
            return _conduct(conductor, prepared, repository, on_event)
    finally:
        ledger.close()


def _processors() -> int:
    """How many this process may use."""
    mine = getattr(os, "sched_getaffinity", None)  # Linux has it
    return len(mine(0)) if mine is not None else os.cpu_count() or 1


def _prepared(asked: Asked, ledger: Ledger) -> Prepared:
    notes = ledger.lineage.notes
    old = ledger.lineage.run(asked.resume) if asked.resume is not None else None
    python = asked.python or (old.python if old is not None else sys.executable)
    found = interpreter(python, notes)
    packages = Packages(found, notes)
    plan = plans.make(asked.pipeline, asked.parameters, only=asked.only, start=asked.start)
    if old is not None:
        past = pasts.of_run(ledger.lineage, old)
        plan = plans.make(asked.pipeline, pasts.same_parameters(old, asked.parameters))
        pasts.to_resume(past, plan, found.version)
        return Prepared(old, plan, packages, found.version, past)
    row = Run(
        id="",
        notebook=asked.name,
        name=asked.pipeline.name,
        pipeline=dump(asked.pipeline),
        parameters=dict(asked.parameters),
        environment={
            "python": found.version,
            "platform": platform.platform(),
            "packages": {package.name: package.version for package in packages.all().values()},
        },
        cwd=str((asked.cwd or Path.cwd()).absolute()),
        python=python,
        state="running",
        started=time.time(),
    )
    if plan.first == 0:
        return Prepared(row, plan, packages, found.version)
    past = pasts.before(ledger.lineage, asked.name, plan, found.version)
    merged = pasts.merged_parameters(past, asked.parameters, plan)
    plan = plans.make(asked.pipeline, merged, only=asked.only, start=asked.start)
    return Prepared(msgspec.structs.replace(row, parameters=merged), plan, packages, found.version, past)


def _conduct(
    conductor: Course, prepared: Prepared, repository: Repository, tell: Callable[[RunEvent], None]
) -> RunResult:
    row, plan, past = prepared.row, prepared.plan, prepared.past
    resumed = bool(row.id)
    ident = conductor.ledger.run
    tell(
        RunStarted(
            run=ident,
            pipeline=row.name,
            steps=tuple(step.name for step in plan.steps),
            at=time.time(),
            resumed=resumed,
        )
    )
    if past is not None:
        conductor.take_over(past, source=None if resumed else past.run.id)
    state, error = _until_the_end(conductor, repository)
    if isinstance(error, StepFailed):
        error.hint = _installing(error.message, prepared, ident) or error.hint
    ended = time.time()
    tell(RunEnded(run=ident, state=state, at=ended, error=str(error) if error else None))
    return RunResult(
        run=ident,
        state=state,
        started=row.started,
        ended=ended,
        parameters=row.parameters,
        steps=settled(_all_results(conductor, error)),
        error=error,
        left=conductor.left,
    )


def _installing(message: str, prepared: Prepared, run: str) -> str | None:
    """What to do where a module is missing: lines of the notebook that ask for packages are read, and not run."""
    missing = MISSING.match(message)
    if missing is None:
        return None
    there = prepared.packages.all()
    asked = dict.fromkeys(line for step in prepared.plan.steps for line in step.step.facts.requirements)
    wanted = [line for line in asked if NOT_A_NAME.split(line)[0].lower().replace("_", "-") not in there]
    command = shlex.join([prepared.row.python, "-m", "pip", "install", *(wanted or [missing[1]])])
    return f"`{command}`, then `nbvertex runs resume {run}` goes on from here"


def _until_the_end(conductor: Course, repository: Repository) -> tuple[RunState, NbvertexError | None]:
    """Run, see to it that nothing is left of it, and record how it ended."""
    state: RunState
    error: NbvertexError | None
    with Interrupts() as interrupts:
        try:
            conductor.go(interrupts)
            error = conductor.failure
            state = "failed" if error else "done"
        except KeyboardInterrupt:
            hint = f"nbvertex runs resume {conductor.ledger.run}"
            error, state = Interrupted("interrupted", hint=hint), "interrupted"
        except NbvertexError as problem:
            error, state = problem, "failed"
        except BaseException:  # a fault of ours: it is told as it is, but no process may stay
            conductor.deck.close()
            raise
        try:
            conductor.stop(str(error or state))
            conductor.ledger.end(state, str(error) if error else None, repository.state())
        except NbvertexError as problem:  # the disk may be what made it fail: then that is told
            error, state = error or problem, "failed"
        conductor.unlock()
    return state, error


def _all_results(conductor: Course, error: NbvertexError | None) -> dict[str, StepResult]:
    found: dict[str, StepResult] = {}
    plan = conductor.plan
    for step in plan.steps:
        if step.index in conductor.results:
            found[step.name] = conductor.results[step.index]
            continue
        asked = plan.first <= step.index < plan.end
        why = _why_not_run(conductor, error) if asked else "it was not asked for"
        found[step.name] = StepResult(
            name=step.name,
            state="skipped",
            cells={
                cell.position: CellResult(position=cell.position, state="skipped") for cell in step.step.cells
            },
            why=why,
        )
    return found


def _why_not_run(conductor: Course, error: NbvertexError | None) -> str:
    failed = [result.name for result in conductor.results.values() if result.state == "failed"]
    if failed:
        return f"not run because step {failed[0]} failed"
    if conductor.left is not None:
        return f"not run because step {conductor.left.place.step} ended the run"
    return f"not run: {error}" if error is not None else "not run"


def _opened(
    pool_factory: Callable[..., Processes] | None, prepared: Prepared, environ: Mapping[str, str]
) -> Processes:
    from nbvertex.worker import Pool  # not needed where every step is cached

    row = prepared.row
    return (pool_factory or Pool)(row.python, preload=_preload(prepared), env=environ, cwd=row.cwd)


def _preload(prepared: Prepared) -> tuple[str, ...]:
    """What the warm process imports: the set-up's imports, as far as they never change while it lives."""
    first = prepared.plan.steps[0].step if prepared.plan.steps else None
    modules = first.facts.imports if first is not None else ()
    return tuple(module for module in modules if prepared.packages.installed(module))
