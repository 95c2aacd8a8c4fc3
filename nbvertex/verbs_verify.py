"""The command ``verify``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from nbvertex import console, usage
from nbvertex.commandline import Session, Verb, as_json, notebook, print_json, say, split
from nbvertex.errors import DifferenceFound, Place, many
from nbvertex.verbs_run import GIVEN, giving, jobs

if TYPE_CHECKING:
    from nbvertex.actions.verifying import Verified
    from nbvertex.live import View


@click.command("verify", cls=Verb, help=usage.VERBS["verify"])
@notebook
@giving
@jobs
@click.option(
    "--cwd", metavar="DIR", type=click.Path(), help="Work in copies of this folder; else of the notebook's."
)
@click.option("-k", "--python", "--kernel", metavar="ENV",
              help="Run both in this interpreter, environment or Jupyter kernel.")  # fmt: skip
@split
@click.option("--yes", is_flag=True, help="Run it twice even if it creates something in the cloud.")
@click.option("--progress-bar/--no-progress-bar", default=True, help="Show progress on stderr.")
@as_json
@click.pass_obj
def verify(
    session: Session, /, notebook: str, split: str | None, progress_bar: bool, as_json: bool, **said: Any
) -> None:
    """What was compared goes to stdout, progress to stderr; exit 1 where something differs."""
    from nbvertex.actions import reading, running, verifying

    given = running.Given(*(said.pop(name) for name in GIVEN))
    opened = reading.open_notebook(notebook, split=split)
    say((line for problem in opened.warnings for line in console.problem_lines(problem)), err=True)
    view = _view(session) if progress_bar else None
    try:
        found = verifying.run(
            opened, given=given, how=verifying.How(**said), on_event=view or (lambda event: None)
        )
    finally:
        if view is not None:
            view.close()
    if as_json:
        print_json(verifying.as_json(found))
    else:
        say(told(found))
    if found.compared.differences:
        raise error_of(found)
    if found.steps.refused is not None:
        raise found.steps.refused


def _view(session: Session) -> View:
    from nbvertex import live

    stream = session.progress or sys.stderr
    return live.Terminal(stream) if stream.isatty() else live.Lines(stream)


def told(found: Verified) -> Iterator[str]:
    """What was compared, or how the sides differ."""
    from nbvertex import verify as comparison

    compared, name = found.compared, found.opened.notebook.path
    if not compared.differences:
        counts = [
            (compared.cells, "cell"),
            (compared.outputs, "output"),
            (compared.values, "value"),
            (compared.files, "file"),
        ]
        until = ", until they refuse to go on" if found.steps.refused is not None else ""
        yield f"{name}: the same straight and as {many(len(found.opened.pipeline.steps), 'step')}{until}"
        yield f"  compared: {', '.join(many(count, noun) for count, noun in counts)}"
    if compared.failure is not None:
        verb = "end" if compared.failure.wanted else "fail"
        yield f"  both {verb} in cell {compared.failure.position}: {compared.failure}"
    if compared.closed:
        yield f"  only the types of: {_some(compared.closed)}"
    yield from (f"  set aside: cell {position} ({why})" for position, why in found.aside.cells.items())
    if found.aside.names:
        yield f"  set aside: the values of {_some(sorted(found.aside.names))}"
    yield from (f"  not a copy, but written to: {path}" for path in found.linked)
    if compared.differences:
        yield from comparison.diff(compared.differences[0])
        yield from _why(found)


def _some(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _why(found: Verified) -> Iterator[str]:
    cause, others = found.cause, found.compared.differences[1:]
    if cause is not None:
        first = found.compared.differences[0]
        if first.position is None and cause.cell:
            yield f"{'written' if first.kind == 'file' else 'bound or changed last'} by cell {cause.cell}"
        yield f"cause: {cause.said}"
        if cause.name is not None:
            yield f"  `{cause.name}` straight: {cause.straight}"
            yield f"  `{cause.name}` as steps: {cause.steps}"
    if others:
        yield f"and {many(len(others), 'more difference')}: {_some([one.what for one in others])}"


def error_of(found: Verified) -> DifferenceFound:
    """The first difference as the error that ends the command."""
    first, cause = found.compared.differences[0], found.cause
    step = next(
        (s.name for s in found.opened.pipeline.steps for c in s.cells if c.position == first.position), None
    )
    place = Place(notebook=found.opened.notebook.path, cell=first.position, step=step)
    return DifferenceFound(
        f"{first.what} differs between the straight run and the steps",
        place=place,
        hint=cause.hint if cause is not None else None,
    )
