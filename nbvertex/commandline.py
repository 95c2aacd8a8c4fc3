"""What all commands share: the session, groups that guess what was meant, options, completion, printing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import click

from nbvertex.errors import Exit, NbvertexError, nearest, visible

if TYPE_CHECKING:
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

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(Exit.REFUSED)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-"):
            near = nearest(args[0], self.commands)
            meant = f"did you mean {near}?" if near else f"there are {', '.join(self.commands)}"
            raise click.UsageError(f"there is no command {args[0]!r}; {meant}", ctx)
        return super().resolve_command(ctx, args)


def _debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).debug = True


def meant(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """The notebooks named, or the one that this call is made in."""
    session = ctx.ensure_object(Session)
    if value or ctx.resilient_parsing:
        return value
    if session.notebook is None:
        raise click.MissingParameter(ctx=ctx, param=param, param_hint="NB", param_type="argument")
    found = session.notebook()
    return (found,) if param.nargs == -1 else found


def steps_of(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:
    """Completion: the steps of the notebook named before."""
    return [step for step in _pipeline(ctx, "steps") if step.startswith(begun)]


def parameters_of(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:
    return [name for name in _pipeline(ctx, "parameters") if name.startswith(begun)]


def _pipeline(ctx: click.Context, what: str) -> list[str]:
    from nbvertex.actions import reading

    session = ctx.ensure_object(Session)
    typed = [
        ctx.params.get("notebook"),
        *ctx.args,
    ]  # click leaves words unread where an option waits for its value
    try:
        path = next((word for word in typed if word and os.path.isfile(word)), None)
        path = path or (session.notebook() if session.notebook else None)
        return [one.name for one in getattr(reading.open_notebook(path).pipeline, what)] if path else []
    except NbvertexError:  # a notebook with errors completes nothing; `check` tells why
        return []


notebook = click.argument("notebook", metavar="NB", required=False, callback=meant, type=click.Path())
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
split = click.option(
    "--split",
    type=click.Choice(["headings", "cells"]),
    help="Cut a notebook without marks at its headings or cells.",
)


def say(lines: Iterable[str], *, err: bool = False) -> None:
    """Print lines, without what would steer a terminal."""
    for line in lines:
        click.echo(visible(line), err=err)


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    from nbvertex.half_characters import as_json

    click.echo(as_json(value, indent=2).decode())
