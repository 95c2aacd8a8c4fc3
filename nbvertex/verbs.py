"""The commands with their options: what the user typed goes to `actions`, what comes back is printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import click

from nbvertex import console, usage
from nbvertex.errors import Exit, many, nearest, visible

if TYPE_CHECKING:
    from nbvertex.cutting import Split
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
    code: int | None = commands.main(list(words), prog_name=name, standalone_mode=False, obj=session)
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
    from nbvertex import actions
    from nbvertex.errors import NbvertexError

    session = ctx.ensure_object(Session)
    try:
        path = ctx.params.get("notebook") or (session.notebook() if session.notebook else None)
        return [one.name for one in getattr(actions.open_notebook(path).pipeline, what)] if path else []
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
def check(notebook: Sequence[str], split: Split | None, as_json: bool) -> int:
    """Every problem of the notebooks goes to stdout; exit 2 where one is an error."""
    from nbvertex import actions

    found = actions.check(notebook, split=split)
    if as_json:
        _print_json([actions.checked_json(one) for one in found])
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
def show(session: Session, notebook: str, form: str | None, why: bool, split: Split | None) -> None:
    """The pipeline goes to stdout."""
    from nbvertex import actions, picture, pipeline

    model = actions.open_notebook(notebook, split=split).pipeline
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
    from nbvertex import actions, picture

    found = actions.open_notebook(notebook).pipeline.parameters
    if as_json:
        _print_json([actions.parameter_json(parameter) for parameter in found])
    else:
        _say(picture.columns([(p.name, picture.describe(p), p.description) for p in found]))


def _say(lines: Iterator[str] | Sequence[str]) -> None:
    for line in lines:
        click.echo(visible(line))


def _print_json(value: object) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))
