"""The commands with their options: what the user typed goes to `actions`, what comes back is printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import click

from nbvertex import console, usage
from nbvertex.errors import Exit, UsageError, many, nearest, visible

if TYPE_CHECKING:
    from nbvertex.actions.running import Ran
    from nbvertex.events import RunResult
    from nbvertex.live import View
    from nbvertex.pipeline import Pipeline


@dataclass
class Session:
    """What holds for one call.

    Args:
        debug: show the traceback of an error.
        notebook: gives the notebook that is meant where none is named (within Jupyter).
        draw: shows a pipeline and its text as a picture (within Jupyter).
        progress: where the progress of a run goes; None: stderr.
    """

    debug: bool = False
    notebook: Callable[[], str] | None = None
    draw: Callable[[Pipeline, str], None] | None = None
    progress: TextIO | None = None


def call(words: Sequence[str], session: Session, name: str = "nbvertex") -> int | None:
    """Do what the words say.

    Returns:
        an exit code, or None where all is well; whatever goes wrong is raised.
    """
    try:
        code: int | None = commands.main(list(words), prog_name=name, standalone_mode=False, obj=session)
    except click.NoSuchOption as error:
        files = [word for word in words if word.startswith("-") and os.path.exists(word)]
        if not files:
            raise
        raise UsageError(
            console.explained(error)[0], hint=f"if {files[0]} is a file, call it ./{files[0]}"
        ) from None
    return code


class Verb(click.Command):
    """A command that takes ``--debug`` like all others."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        debug = click.Option(["--debug"], is_flag=True, expose_value=False, callback=_debug, is_eager=True,
                             help="Show the traceback of an error.")  # fmt: skip
        self.params.append(debug)


class Verbs(click.Group):
    """Commands in the order of their definition; without one the help, with a wrong one the nearest."""

    command_class = Verb

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"no_args_is_help": False, "invoke_without_command": True, **kwargs})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        if not (ctx._protected_args or ctx.args):
            click.echo(ctx.get_help(), err=True)
            ctx.exit(Exit.REFUSED)
        return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-"):
            near = nearest(args[0], self.commands)
            meant = f"did you mean {near}?" if near else f"there are {', '.join(self.commands)}"
            raise click.UsageError(f"there is no command {args[0]!r}; {meant}", ctx)
        return super().resolve_command(ctx, args)


class Root(Verbs):
    """The whole command line."""

    group_class = Verbs

    def get_help(self, ctx: click.Context) -> str:
        return usage.text().rstrip("\n")


def _debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).debug = True


def _meant(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """The notebooks named, or the one that this call is made in."""
    session = ctx.ensure_object(Session)
    if value or ctx.resilient_parsing:
        return value
    if session.notebook is None:
        raise click.MissingParameter(ctx=ctx, param=param, param_hint="NB", param_type="argument")
    found = session.notebook()
    return (found,) if param.nargs == -1 else found


def _steps_of(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:
    """Completion: the steps of the notebook named before."""
    return [step for step in _pipeline(ctx, "steps") if step.startswith(begun)]


def _parameters_of(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:
    return [name for name in _pipeline(ctx, "parameters") if name.startswith(begun)]


def _pipeline(ctx: click.Context, what: str) -> list[str]:
    from nbvertex.actions import reading
    from nbvertex.errors import NbvertexError

    session = ctx.ensure_object(Session)
    try:
        path = ctx.params.get("notebook") or (session.notebook() if session.notebook else None)
        return [one.name for one in getattr(reading.open_notebook(path).pipeline, what)] if path else []
    except NbvertexError:  # a notebook with errors completes nothing; `check` tells why
        return []


notebook = click.argument(
    "notebook", metavar="NB", required=False, callback=_meant, is_eager=True, type=click.Path()
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
split = click.option(
    "--split",
    type=click.Choice(["headings", "cells"]),
    help="Cut a notebook without marks at its headings or cells.",
)


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(message=usage.version().rstrip(), version="")
def commands() -> None:
    """What `usage` says."""


def verb(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command of the table in `usage`, which has its help."""
    return commands.command(name, help=usage.VERBS[name])


@verb("check")
@click.argument("notebook", metavar="NB...", nargs=-1, callback=_meant, type=click.Path())
@split
@as_json
def check(notebook: Sequence[str], split: str | None, as_json: bool) -> int:
    """Every problem of the notebooks goes to stdout; exit 2 where one is an error."""
    from nbvertex.actions import reading

    found = reading.check(notebook, split=split)
    if as_json:
        _print_json([reading.checked_json(one) for one in found])
    else:
        for one in found:
            _say(line for problem in one.problems for line in console.problem_lines(problem))
            if not one.errors and one.pipeline is not None:
                _say([f"{one.notebook}: {many(len(one.pipeline.steps), 'step')}, no errors"])
    return Exit.REFUSED if any(one.errors for one in found) else Exit.OK


@verb("show")
@notebook
@click.option("--mermaid", "form", flag_value="mermaid", help="Print a mermaid flowchart.")
@click.option("--svg", "form", flag_value="svg", help="Print a picture.")
@click.option("--json", "form", flag_value="json", help="Print the whole model as JSON.")
@click.option("--why", is_flag=True, help="Name the lines that write and read what flows.")
@split
@click.pass_obj
def show(session: Session, /, notebook: str, form: str | None, why: bool, split: str | None) -> None:
    """The pipeline goes to stdout."""
    from nbvertex import picture, pipeline
    from nbvertex.actions import reading

    model = reading.open_notebook(notebook, split=split).pipeline
    if form == "json":
        click.echo(pipeline.dump(model), nl=False)
    elif form == "mermaid":
        click.echo(picture.mermaid(model), nl=False)
    elif session.draw is not None:
        session.draw(model, picture.text(model, why=why))
    else:
        click.echo(picture.svg(model) if form == "svg" else picture.text(model, why=why), nl=False)


@verb("params")
@notebook
@as_json
def params(notebook: str, as_json: bool) -> None:
    """The parameters go to stdout, one a line."""
    from nbvertex import picture
    from nbvertex.actions import reading

    found = reading.open_notebook(notebook).pipeline.parameters
    if as_json:
        _print_json([reading.parameter_json(parameter) for parameter in found])
    else:
        _say(picture.columns([(p.name, picture.describe(p), p.description) for p in found]))


@verb("run")
@notebook
@click.argument("out", metavar="[OUT]", required=False, type=click.Path())
@click.option("-p", "--parameters", nargs=2, multiple=True, metavar="NAME VALUE", shell_complete=_parameters_of,
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
@click.option("--step", "only", metavar="STEP", shell_complete=_steps_of,
              help="Run this step alone, on what an earlier run left.")  # fmt: skip
@click.option("--from", "start", metavar="STEP", shell_complete=_steps_of,
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
    _say((line for problem in opened.warnings for line in console.problem_lines(problem)), err=True)
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
    from nbvertex import live, report

    result = ran.result
    if as_json:
        path = str(ran.output) if ran.output else None
        live.JsonLines(sys.stdout).say({"event": "notebook", "run": result.run, "path": path})
    elif ran.output is not None:
        click.echo(str(ran.output))
    elif ran.unwritten is None:
        click.echo(report.encode(ran.notebook), nl=False)
    if result.error is not None:
        for line in report.traceback_of(result):
            click.echo(console.coloured(line), err=True, color=False if os.environ.get("NO_COLOR") else None)
        _say(_left(result), err=True)
        if ran.unwritten is not None:
            _say(console.told(ran.unwritten), err=True)
        raise result.error
    if ran.unwritten is not None:
        raise ran.unwritten


def _left(result: RunResult) -> Iterator[str]:
    """Which steps were not run."""
    names = [name for name, step in result.steps.items() if step.state in ("queued", "skipped")]
    if names:
        yield f"not run: {', '.join(names[:10])}{f' and {len(names) - 10} more' if len(names) > 10 else ''}"


def _say(lines: Iterable[str], *, err: bool = False) -> None:
    for line in lines:
        click.echo(visible(line), err=err)


def _print_json(value: object) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))
