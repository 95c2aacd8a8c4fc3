"""The commands: what the user typed goes to `actions`, what comes back is printed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbvertex import console, usage, verbs_convert, verbs_emulator, verbs_run, verbs_submit, verbs_verify
from nbvertex.commandline import Session, Verbs, as_json, meant, notebook, print_json, say, split
from nbvertex.errors import Exit, UsageError, many

if TYPE_CHECKING:
    from nbvertex.actions.learning import Learned

COMPLETING = "_NBVERTEX_COMPLETE"  # the environment variable in which a shell says what it wants to know


def complete(wanted: str) -> int:
    """Answer a shell that completes a command line; gives the exit code."""
    from click.shell_completion import shell_complete

    return shell_complete(commands, {}, "nbvertex", COMPLETING, wanted)


def call(words: Sequence[str], session: Session, name: str = "nbvertex") -> int | None:
    """Do what the words say.

    Returns:
        an exit code, or None where all is well; whatever goes wrong is raised.
    """
    try:
        with commands.make_context(name, list(words), obj=session) as context:
            code: int | None = commands.invoke(context)
            return code
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.NoSuchOption as error:
        files = [word for word in words if word.startswith("-") and os.path.exists(word)]
        if not files:
            raise
        raise UsageError(
            console.explained(error)[0], hint=f"if {files[0]} is a file, call it ./{files[0]}"
        ) from None


class Root(Verbs):
    """The whole command line."""

    group_class = Verbs

    def get_help(self, ctx: click.Context) -> str:
        return usage.text().rstrip("\n")


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(message=usage.version().rstrip(), version="")
def commands() -> None:
    """What `usage` says."""


def verb(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command of the table in `usage`, which has its help."""
    return commands.command(name, help=usage.VERBS[name])


@verb("check")
@click.argument("notebook", metavar="NB...", nargs=-1, callback=meant, type=click.Path())
@click.option(
    "--learn", is_flag=True, help="Propose `in:` and `out:` marks from the files that the last run touched."
)
@split
@as_json
def check(notebook: Sequence[str], learn: bool, split: str | None, as_json: bool) -> int:
    """Every problem of the notebooks goes to stdout; exit 2 where one is an error."""
    from nbvertex.actions import learning, reading

    found = reading.check(notebook, split=split)
    learned = [
        learning.learn(one.notebook, one.pipeline) if learn and one.pipeline else None for one in found
    ]
    if as_json:
        told = zip(map(reading.checked_json, found), learned, strict=True)
        print_json([{**one, "files": learning.as_json(more)} if more else one for one, more in told])
    else:
        for one, more in zip(found, learned, strict=True):
            say(line for problem in one.problems for line in console.problem_lines(problem))
            if not one.errors and one.pipeline is not None:
                say([f"{one.notebook}: {many(len(one.pipeline.steps), 'step')}, no errors"])
            if more is not None:
                say(_learned(more))
    return Exit.REFUSED if any(one.errors for one in found) else Exit.OK


def _learned(learned: Learned) -> Iterator[str]:
    """What to add to the steps, and why."""
    from nbvertex import picture
    from nbvertex.actions import learning

    rows = learning.rows(learned)
    yield f"files, as run {learned.run} touched them:{'' if rows else ' none'}"
    yield from picture.columns([("  " + step, *more) for step, *more in rows])
    adding = [step for step in learned.steps if learned.marks(step)]
    if any(step.step not in learned.magic for step in adding):
        yield "to add what says in: or out:, give the cell such a tag"
    if any(step.step in learned.magic for step in adding):
        yield "to add what begins with --, write it behind the step's name in its line %%step"


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
        click.echo(pipeline.dump(model).decode(), nl=False)
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
        print_json([reading.parameter_json(parameter) for parameter in found])
    else:
        say(picture.columns([(p.name, picture.describe(p), p.description) for p in found]))


commands.add_command(verbs_run.run)
commands.add_command(verbs_verify.verify)
commands.add_command(verbs_convert.convert)
commands.add_command(verbs_submit.submit)
commands.add_command(verbs_run.runs)
commands.add_command(verbs_emulator.emulator)


@verb("doctor")
@click.option(
    "--profile", metavar="P", help="Look at what a submission to this profile needs, at Google Cloud."
)
@as_json
@click.pass_obj
def doctor(session: Session, profile: str | None, as_json: bool) -> int:
    """Exit 1 where something is wrong that runs here depend on."""
    from nbvertex import doctor
    from nbvertex.actions import examining
    from nbvertex.actions.runs import home_of
    from nbvertex.picture import columns

    found = doctor.examine(home_of(None)) if profile is None else list(examining.examine(profile, Path.cwd()))
    if as_json:
        print_json([dataclasses.asdict(finding) for finding in found])
    else:
        rows = [
            (finding.state, finding.name, finding.found, finding.mend or finding.use) for finding in found
        ]
        say(columns(rows))
    return Exit.FAILED if any(finding.state == "wrong" for finding in found) else Exit.OK


@verb("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """For bash: eval "$(nbvertex completion bash)"."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(commands, {}, "nbvertex", COMPLETING).source())
