"""The command ``run``, and the commands about runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from nbvertex import console, usage
from nbvertex.commandline import (
    Session,
    Verb,
    Verbs,
    as_json,
    notebook,
    parameters_of,
    print_json,
    say,
    split,
    steps_of,
)
from nbvertex.errors import UsageError

if TYPE_CHECKING:
    from nbvertex.actions.running import Ran
    from nbvertex.actions.runs import Attempt, Told
    from nbvertex.events import RunResult
    from nbvertex.live import View


@click.command("run", cls=Verb, help=usage.VERBS["run"])
@notebook
@click.argument("out", metavar="[OUT]", required=False, type=click.Path())
@click.option("-p", "--parameters", nargs=2, multiple=True, metavar="NAME VALUE", shell_complete=parameters_of,
              help="Give a parameter a value, read by its type.")  # fmt: skip
@click.option("-r", "--parameters_raw", "raw", nargs=2, multiple=True, metavar="NAME VALUE",
              help="Give a parameter a text as it is.")  # fmt: skip
@click.option("-f", "--parameters_file", "files", multiple=True, metavar="FILE", type=click.Path(),
              help="Take values from a YAML or JSON file.")  # fmt: skip
@click.option(
    "-y", "--parameters_yaml", "texts", multiple=True, metavar="YAML", help="Take values from YAML."
)
@click.option("-b", "--parameters_base64", "encoded", multiple=True, metavar="TEXT",
              help="Take values from YAML in base64.")  # fmt: skip
@click.option("--step", "only", metavar="STEP", shell_complete=steps_of,
              help="Run this step alone, on what an earlier run left.")  # fmt: skip
@click.option("--from", "start", metavar="STEP", shell_complete=steps_of,
              help="Run from this step on, on what an earlier run left.")  # fmt: skip
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="How many steps compute at the same time.")
@click.option("--no-cache", is_flag=True, help="Take no results of earlier runs.")
@click.option("--cwd", metavar="DIR", type=click.Path(), help="The working folder; else the current one.")
@click.option("-k", "--python", "--kernel", metavar="ENV",
              help="Run the steps in this interpreter, environment or Jupyter kernel.")  # fmt: skip
@split
@click.option("--overwrite", "--force", is_flag=True, help="OUT may be the notebook itself.")
@click.option("--log-output/--no-log-output", help="Show what the cells print.")
@click.option("--progress-bar/--no-progress-bar", default=True, help="Show progress on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for every change.")
@click.pass_obj
def run(
    session: Session, /, notebook: str, out: str | None, as_json: bool, split: str | None, **said: Any
) -> None:
    """The path of the output notebook goes to stdout, progress to stderr."""
    from nbvertex.actions import reading, running

    if out == running.STDOUT and as_json:
        raise click.UsageError("OUT is stdout, where --json prints", click.get_current_context())
    opened = reading.open_notebook(notebook, split=split)
    say((line for problem in opened.warnings for line in console.problem_lines(problem)), err=True)
    view = _view(session, as_json=as_json, outputs=said["log_output"], shown=said["progress_bar"])
    try:
        given = running.Given(said["parameters"], said["raw"], said["files"], said["texts"], said["encoded"])
        how = running.How(
            only=said["only"],
            start=said["start"],
            jobs=said["jobs"],
            cache=not said["no_cache"],
            cwd=said["cwd"],
            python=said["python"],
            overwrite=said["overwrite"],
        )
        ran = running.run(opened, out, given=given, how=how, on_event=view)
    finally:
        view.close()
    _tell_run(ran, as_json=as_json)


def _view(session: Session, *, as_json: bool, outputs: bool, shown: bool) -> View:
    from nbvertex import live

    if as_json:
        return live.JsonLines(sys.stdout)
    stream = session.progress or sys.stderr
    if not shown:
        return live.Nothing()
    return live.Terminal(stream, outputs=outputs) if stream.isatty() else live.Lines(stream, outputs=outputs)


def _tell_run(ran: Ran, *, as_json: bool) -> None:
    from nbvertex import live, output_file, report

    result = ran.result
    if as_json:
        path = str(ran.output) if ran.output else None
        live.JsonLines(sys.stdout).say({"event": "notebook", "run": result.run, "path": path})
    elif ran.output is not None:
        click.echo(str(ran.output))
    elif ran.unwritten is None:
        click.echo(output_file.encode(ran.notebook), nl=False)
    if result.error is not None:
        for line in report.traceback_of(result):
            click.echo(console.coloured(line), err=True, color=False if os.environ.get("NO_COLOR") else None)
        say(_left(result), err=True)
        if ran.unwritten is not None:
            say(console.told(ran.unwritten), err=True)
        raise result.error
    if ran.unwritten is not None:
        raise ran.unwritten


def _print_traceback(lines: Sequence[str], *, err: bool = False) -> None:
    for line in lines:
        click.echo(console.coloured(line), err=err, color=False if os.environ.get("NO_COLOR") else None)


def _left(result: RunResult) -> Iterator[str]:
    """Which steps were not run."""
    names = [name for name, step in result.steps.items() if step.state in ("queued", "skipped")]
    if names:
        yield f"not run: {', '.join(names[:10])}{f' and {len(names) - 10} more' if len(names) > 10 else ''}"


# --- nbvertex runs ------------------------------------------------------------------------------------

run_id = click.argument("run", metavar="[RUN]", default="last")
of_notebook = click.option(
    "--notebook", metavar="NB", type=click.Path(), help="Look where the runs of this notebook are kept."
)


@click.group("runs", cls=Verbs, help=usage.VERBS["runs"])
def runs() -> None:
    """RUN is an id, enough of its beginning or end, or `last`."""


@runs.command("list")
@of_notebook
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many."
)
@as_json
@click.pass_obj
def list_runs(session: Session, /, notebook: str | None, limit: int, as_json: bool) -> None:
    """List the runs, newest first; with --notebook only its own."""
    from nbvertex.actions import runs

    named = notebook or _here(session)
    found = runs.listed(runs.home_of(named), notebook=notebook, limit=limit)
    if as_json:
        print_json([runs.as_json(one) for one in found])
    elif found:
        say(_table(found))
    else:
        say(["nothing has been run here"], err=True)


@runs.command("show")
@run_id
@of_notebook
@as_json
@click.pass_obj
def show_run(session: Session, /, run: str, notebook: str | None, as_json: bool) -> None:
    """Show a run: its parameters, steps, times and errors."""
    from nbvertex.actions import runs

    told = runs.shown(runs.home_of(notebook or _here(session)), run)
    if as_json:
        print_json(runs.as_json(told))
    else:
        say(_described(told))


@runs.command("logs")
@run_id
@click.argument("step", metavar="[STEP]", required=False)
@of_notebook
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Another attempt than the last.")
@as_json
@click.pass_obj
def logs(
    session: Session, /, run: str, step: str | None, notebook: str | None, attempt: int | None, as_json: bool
) -> None:
    """Print what the cells of a run printed."""
    from nbvertex.actions import runs

    found = runs.logs(runs.home_of(notebook or _here(session)), run, step=step, attempt=attempt)
    if as_json:
        print_json([runs.attempt_json(one, cells=True) for one in found])
    else:
        for one in found:
            _print_log(one)


def _here(session: Session) -> str | None:
    """The notebook that this call is made in, if it is made in one that is known."""
    try:
        return session.notebook() if session.notebook else None
    except UsageError:
        return None


def _table(found: list[Told]) -> Iterator[str]:
    from nbvertex.picture import columns

    rows = [("RUN", "STATE", "STARTED", "TOOK", "STEPS", "NOTEBOOK")]
    for told in found:
        steps = ", ".join(f"{count} {state}" for state, count in sorted(told.states.items()))
        run = told.run
        rows.append((run.id, run.state, _clock(run.started), _took(told.seconds), steps, _near(run.notebook)))
    yield from columns(rows)


def _described(told: Told) -> Iterator[str]:
    from nbvertex.picture import columns

    run = told.run
    said = [
        ("notebook", _near(run.notebook)),
        ("started", _clock(run.started)),
        ("took", _took(told.seconds)),
        ("parameters", ", ".join(f"{name} = {value!r}" for name, value in run.parameters.items())),
        ("output", _near(run.output) if run.output else ""),
        ("commit", (run.commit or "") + (" with changes" if run.dirty else "")),
        ("python", f"{run.python} ({run.environment.get('python', '')})"),
        ("folder", run.cwd),
        ("error", (run.error or "").partition("\n")[0]),
    ]
    yield f"run {run.id}: {run.state}"
    yield from columns([(f"  {name}", value) for name, value in said if value])
    rows = []
    for attempt in told.attempts:
        row = attempt.row
        count = f"attempt {row.attempt}" if row.attempt > 1 else ""
        source = f"from run {attempt.source}" if attempt.source else (row.error or "").partition("\n")[0]
        rows.append((f"  {row.name}", row.state, _took(attempt.seconds), count, source))
    yield from ["", "steps", *columns(rows)]


def _print_log(attempt: Attempt) -> None:
    from nbvertex.live import printed

    row = attempt.row
    for cell in attempt.cells:
        count = f", attempt {row.attempt}" if row.attempt > 1 else ""
        say([f"--- cell {cell.position} [step {row.name}]{count}: {cell.state}"])
        for output in cell.outputs:
            say(printed(output))
            _print_traceback("\n".join(output.get("traceback", ())).splitlines())


def _clock(seconds: float) -> str:
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _took(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f} s"


def _near(path: str) -> str:
    """The path as seen from here, where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) else path
