"""The command ``run``, and the commands about runs."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from nbvertex import console, usage, verbs_remote
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
from nbvertex.errors import UsageError, many

if TYPE_CHECKING:
    from nbvertex.actions.output import Ran
    from nbvertex.actions.runs import Attempt, Told
    from nbvertex.events import RunResult
    from nbvertex.live import View
    from nbvertex.submissions import Submission


jobs = click.option(
    "-j", "--jobs", type=click.IntRange(min=1), help="How many steps compute at the same time."
)


def giving(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that give parameters their values."""
    for option in (
        click.option("-b", "--parameters_base64", "encoded", multiple=True, metavar="TEXT",
                     help="Take values from YAML in base64."),
        click.option("-y", "--parameters_yaml", "texts", multiple=True, metavar="YAML",
                     help="Take values from YAML."),
        click.option("-f", "--parameters_file", "files", multiple=True, metavar="FILE", type=click.Path(),
                     help="Take values from a YAML or JSON file."),
        click.option("-r", "--parameters_raw", "raw", nargs=2, multiple=True, metavar="NAME VALUE",
                     help="Give a parameter a text as it is."),
        click.option("-p", "--parameters", nargs=2, multiple=True, metavar="NAME VALUE",
                     shell_complete=parameters_of, help="Give a parameter a value, read by its type."),
    ):  # fmt: skip
        command = option(command)
    return command


GIVEN = (
    "parameters",
    "raw",
    "files",
    "texts",
    "encoded",
)  # what these options are called, in `Given`'s order


def watching(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is shown of a run while it goes on."""
    for option in (
        click.option(
            "--json", "as_json", is_flag=True, help="Print one JSON object a line for every change."
        ),
        click.option("--progress-bar/--no-progress-bar", default=True, help="Show progress on stderr."),
        click.option("--log-output/--no-log-output", help="Show what the cells print."),
    ):
        command = option(command)
    return command


@click.command("run", cls=Verb, help=usage.VERBS["run"])
@notebook
@click.argument("out", metavar="[OUT]", required=False, type=click.Path())
@giving
@click.option("--step", "only", metavar="STEP", shell_complete=steps_of,
              help="Run this step alone, on what an earlier run left.")  # fmt: skip
@click.option("--from", "start", metavar="STEP", shell_complete=steps_of,
              help="Run from this step on, on what an earlier run left.")  # fmt: skip
@jobs
@click.option("--no-cache", is_flag=True, help="Take no results of earlier runs.")
@click.option("--cwd", metavar="DIR", type=click.Path(), help="The working folder; else the current one.")
@click.option("-k", "--python", "--kernel", metavar="ENV",
              help="Run the steps in this interpreter, environment or Jupyter kernel.")  # fmt: skip
@split
@click.option("--overwrite", "--force", is_flag=True, help="OUT may be the notebook itself.")
@watching
@click.pass_obj
def run(session: Session, /, notebook: str, out: str | None, split: str | None, **said: Any) -> None:
    """The path of the output notebook goes to stdout, progress to stderr."""
    from nbvertex.actions import reading, running

    watched = {name: said.pop(name) for name in ("as_json", "log_output", "progress_bar")}
    given = running.Given(*(said.pop(name) for name in GIVEN))
    how = running.How(cache=not said.pop("no_cache"), **said)
    with running.ahead(how) as pools:
        opened = reading.open_notebook(notebook, split=split)
        say((line for problem in opened.warnings for line in console.problem_lines(problem)), err=True)
        with view_of(session, out, **watched) as view:
            ran = running.run(opened, out, given=given, how=how, on_event=view, pool_factory=pools)
    _tell_run(ran, out, as_json=watched["as_json"])


@contextlib.contextmanager
def view_of(
    session: Session, out: str | None, *, as_json: bool, log_output: bool, progress_bar: bool
) -> Iterator[View]:
    """A view of the run that goes on meanwhile."""
    from nbvertex import live
    from nbvertex.actions.running import STDOUT

    if as_json and out == STDOUT:
        raise click.UsageError("OUT is stdout, where --json prints", click.get_current_context())
    stream = session.progress or sys.stderr
    view: View
    if as_json:
        view = live.JsonLines(sys.stdout)
    elif not progress_bar:
        view = live.Nothing()
    elif stream.isatty():
        view = live.Terminal(stream, outputs=log_output)
    else:
        view = live.Lines(stream, outputs=log_output)
    try:
        yield view
    finally:
        view.close()


def _tell_run(ran: Ran, out: str | None, *, as_json: bool) -> None:
    from nbvertex import live, output_file, report
    from nbvertex.actions.running import STDOUT

    result = ran.result
    if as_json:
        path = str(ran.output) if ran.output else None
        live.JsonLines(sys.stdout).say({"event": "notebook", "run": result.run, "path": path})
    elif ran.output is not None:
        click.echo(str(ran.output))
    elif out == STDOUT:
        click.echo(output_file.encode(ran.notebook).decode(), nl=False)
    if result.error is not None:
        _print_traceback(report.traceback_of(result), err=True)
        say(_left(result), err=True)
        if ran.trouble is not None:
            say(console.told(ran.trouble), err=True)
        if ran.warning is not None:
            say([ran.warning], err=True)
        raise result.error
    if result.left is not None:
        say([f"{result.left.place} ended the run: {result.left.message}", *_left(result)], err=True)
    if ran.warning is not None:
        say([ran.warning], err=True)
    if ran.trouble is not None:
        raise ran.trouble


def _print_traceback(lines: Sequence[str], *, err: bool = False) -> None:
    for line in lines:
        click.echo(console.coloured(line), err=err, color=False if os.environ.get("NO_COLOR") else None)


def _left(result: RunResult) -> Iterator[str]:
    """Which steps were not run, though no condition of theirs says so."""
    names = [
        name
        for name, step in result.steps.items()
        if step.state in ("queued", "skipped") and step.started is None
    ]
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
    from nbvertex.actions import remote, runs

    named = notebook or _here(session)
    home = runs.home_of(named)
    found = runs.listed(home, notebook=notebook, limit=limit)
    there = remote.listed(home, notebook=os.path.abspath(notebook) if notebook else None, limit=limit)
    if as_json:
        print_json([*map(runs.as_json, found), *map(remote.as_json, there)])
    elif found or there:
        say(_table(found, there, limit))
    else:
        say(["nothing has been run here"], err=True)


@runs.command("show")
@run_id
@of_notebook
@as_json
@click.pass_obj
def show_run(session: Session, /, run: str, notebook: str | None, as_json: bool) -> None:
    """Show a run: its parameters, steps, times and errors."""
    from nbvertex.actions import remote, runs

    home = runs.home_of(notebook or _here(session))
    there = remote.named(home, run)
    if there is not None:
        verbs_remote.show(home, there, as_json=as_json)
        return
    told = runs.shown(home, run)
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
    from nbvertex.actions import remote, runs

    home = runs.home_of(notebook or _here(session))
    there = remote.named(home, run)
    if there is not None:
        verbs_remote.print_logs(home, there, step, as_json=as_json)
        return
    found = runs.logs(home, run, step=step, attempt=attempt)
    if as_json:
        print_json([runs.attempt_json(one, cells=True) for one in found])
    else:
        for one in found:
            _print_log(one)


runs.add_command(verbs_remote.cancel)


@runs.command("resume")
@run_id
@click.argument("out", metavar="[OUT]", required=False, type=click.Path())
@of_notebook
@split
@jobs
@watching
@click.pass_obj
def resume(
    session: Session,
    /,
    run: str,
    out: str | None,
    notebook: str | None,
    split: str | None,
    jobs: int | None,
    **how: bool,
) -> None:
    """Go on with a run that failed or was interrupted; finished steps are not repeated."""
    from nbvertex.actions import running, runs

    home = runs.home_of(notebook or _here(session))
    with view_of(session, out, **how) as view:
        ran = running.resume(run, home, out, split=split, how=running.How(jobs=jobs), on_event=view)
    _tell_run(ran, out, as_json=how["as_json"])


@runs.command("gc")
@of_notebook
@click.option(
    "--keep", type=click.IntRange(min=0), metavar="N", help="Keep only the newest N runs of each notebook."
)
@click.option("--older-than", metavar="TIME", help="Remove runs that began longer ago, such as 30d or 12h.")
@click.option("--limit", metavar="SIZE", help="Let values and the cache take at most this, such as 20GB.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@as_json
@click.pass_obj
def gc(session: Session, /, notebook: str | None, dry_run: bool, as_json: bool, **said: Any) -> None:
    """Remove what no run and no cached step needs, and the runs that are named; never what is running."""
    from nbvertex.actions import runs

    found = runs.removed(runs.home_of(notebook or _here(session)), dry_run=dry_run, **said)
    if as_json:
        print_json(
            {"runs": found.runs, "artifacts": len(found.artifacts), "bytes": found.size, "dry_run": dry_run}
        )
    else:
        what = f"{many(len(found.runs), 'run')}, {many(len(found.artifacts), 'value')}"
        say([f"{'would remove' if dry_run else 'removed'} {what}, {found.size / 1e6:.1f} MB"])


def _here(session: Session) -> str | None:
    """The notebook that this call is made in, if it is made in one that is known."""
    try:
        return session.notebook() if session.notebook else None
    except UsageError:
        return None


def _table(found: list[Told], there: list[Submission], limit: int) -> Iterator[str]:
    from nbvertex.actions.running import near
    from nbvertex.picture import columns

    rows = [(one.started, verbs_remote.row(one)) for one in there]
    for told in found:
        steps = ", ".join(f"{count} {state}" for state, count in sorted(told.states.items()))
        run = told.run
        shown = (
            run.id,
            run.state,
            verbs_remote.clock(run.started),
            verbs_remote.took(told.seconds),
            steps,
            near(run.notebook),
        )
        rows.append((run.started, shown))
    newest = [row for _, row in sorted(rows, reverse=True)[:limit]]
    yield from columns([("RUN", "STATE", "STARTED", "TOOK", "STEPS", "NOTEBOOK"), *newest])


def _described(told: Told) -> Iterator[str]:
    from nbvertex.actions.running import near
    from nbvertex.picture import columns

    run = told.run
    said = [
        ("notebook", near(run.notebook)),
        ("started", verbs_remote.clock(run.started)),
        ("took", verbs_remote.took(told.seconds)),
        ("parameters", ", ".join(f"{name} = {value!r}" for name, value in run.parameters.items())),
        ("output", near(run.output) if run.output else ""),
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
        source = f"{row.item}  {source}".rstrip() if row.item else source
        rows.append((f"  {attempt.name}", row.state, verbs_remote.took(attempt.seconds), count, source))
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
