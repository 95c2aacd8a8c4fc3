"""The command ``convert``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from nbvertex import console, usage
from nbvertex.commandline import Verb, as_json, meant, print_json, say, split
from nbvertex.errors import UsageError


def _names(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:
    """Completion: the targets that are installed."""
    from nbvertex import target

    return [name for name in target.known() if name.startswith(begun)]


def _meant(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    return value if ctx.params.get("listing") else meant(ctx, param, value)


@click.command("convert", cls=Verb, help=usage.VERBS["convert"])
@click.argument("notebook", metavar="NB", required=False, callback=_meant, type=click.Path())
@click.option("--to", metavar="TARGET", shell_complete=_names, help="What it is written for; see --list.")
@click.option(
    "-o", "--output", metavar="DIR", type=click.Path(), help="Write to this folder; else NAME-TARGET."
)
@click.option(
    "--image", metavar="IMAGE", help="The container image of the steps; else a plain one of Python."
)
@click.option("--profile", metavar="NAME", help="Where it goes and as whom, from the settings.")
@click.option("--name", metavar="NAME", help="What the pipeline is called there; else as the notebook.")
@click.option(
    "-k", "--python", "--kernel", metavar="ENV",
    help="Ask for the packages of this interpreter, environment or Jupyter kernel.",
)  # fmt: skip
@click.option(
    "--list", "listing", is_flag=True, is_eager=True, help="List the targets, and what steps may ask of each."
)
@split
@as_json
def convert(
    notebook: str,
    to: str | None,
    output: str | None,
    split: str | None,
    listing: bool,
    as_json: bool,
    **said: Any,
) -> None:
    """The paths that were written go to stdout, warnings to stderr."""
    from nbvertex.actions import converting, reading

    if listing:
        _list(as_json)
        return
    if to is None:
        names = ", ".join(one.name for one in converting.targets())
        raise UsageError("convert needs a target", hint=f"--to one of {names}")
    opened = reading.open_notebook(notebook, split=split)
    made = converting.convert(opened, to, converting.Said(**said))
    folder = Path(output or f"{opened.pipeline.name}-{to}")
    written = converting.write(made.files, folder)
    say((line for problem in made.warnings for line in console.problem_lines(problem)), err=True)
    if as_json:
        print_json({"target": to, "folder": str(folder), "files": [str(path) for path in written]})
    else:
        say(map(str, written))


def _list(as_json: bool) -> None:
    from nbvertex.actions import converting
    from nbvertex.picture import columns

    found = converting.targets()
    if as_json:
        print_json([dataclasses.asdict(one) for one in found])
    else:
        say(columns([(one.name, one.package, one.trouble or " ".join(one.supports)) for one in found]))
