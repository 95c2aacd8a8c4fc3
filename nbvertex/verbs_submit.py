"""The command ``submit``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from nbvertex import console, usage
from nbvertex.commandline import Session, Verb, notebook, print_json, say, split
from nbvertex.verbs_run import GIVEN, giving, view_of

if TYPE_CHECKING:
    from nbvertex.actions.submitting import Submitted
    from nbvertex.submissions import Submission


@click.command("submit", cls=Verb, help=usage.VERBS["submit"])
@notebook
@click.option("--to", metavar="TARGET", required=True, help="vertex-pipeline or vertex-job.")
@click.option(
    "--profile",
    metavar="P",
    help="Where it goes and as whom, from the settings; `emulator`: on this machine.",
)
@giving
@click.option("--dry-run", is_flag=True, help="Print every request, and send none.")
@click.option("--no-wait", is_flag=True, help="Print the id as soon as all is created.")
@click.option(
    "--image", metavar="IMAGE", help="The container image of the steps; else a plain one of Python."
)
@click.option("--name", metavar="NAME", help="What the pipeline is called there; else as the notebook.")
@click.option("-k", "--python", "--kernel", metavar="ENV",
              help="Ask for the packages of this interpreter, environment or Jupyter kernel.")  # fmt: skip
@split
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for every change.")
@click.option("--progress-bar/--no-progress-bar", default=True, help="Show progress on stderr.")
@click.option("--log-output/--no-log-output", default=True, help="Show what the steps print.")
@click.pass_obj
def submit(
    session: Session, /, notebook: str, to: str, profile: str | None, split: str | None, **said: Any
) -> None:
    """The path of the output notebook, or with --no-wait the id, goes to stdout, progress and the link to stderr."""
    from nbvertex.actions import converting, reading, running, submitting

    shown = {name: said.pop(name) for name in ("as_json", "log_output", "progress_bar")}
    dry_run, wait = said.pop("dry_run"), not said.pop("no_wait")
    given = running.Given(*(said.pop(name) for name in GIVEN))
    opened = reading.open_notebook(notebook, split=split)
    wanted = submitting.Wanted(to, profile, given, converting.Said(**said))
    prepared = submitting.prepare(opened, wanted)
    say((line for problem in prepared.warnings for line in console.problem_lines(problem)), err=True)
    if dry_run:
        print_json(submitting.requests(prepared))
        return
    with view_of(session, None, **shown) as view:
        told = _Told(as_json=shown["as_json"])
        ears = submitting.Ears(view, told.created, told.said)
        done = submitting.submit(prepared, wait=wait, ears=ears)
    told.done(done)
    if done.error is not None:
        raise done.error


class _Told:
    """What is said of a submission beside its progress."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def created(self, submission: Submission) -> None:
        from nbvertex import live, service

        for job in submission.jobs:
            if job.resource is None:
                continue
            link = service.link(job.resource, submission.where)
            if self.as_json:
                row = {"event": "created", "run": submission.id, "job": job.resource, "link": link}
                live.JsonLines(sys.stdout).say(row)
            else:
                say([f"run {submission.id}: {job.resource}", link], err=True)

    def said(self, line: str) -> None:
        say([line], err=True)

    def done(self, done: Submitted) -> None:
        from nbvertex import live

        output = str(done.output) if done.output else None
        if self.as_json:
            row = {"event": "notebook", "run": done.submission.id, "path": output}
            live.JsonLines(sys.stdout).say(row)
        elif output is not None:
            click.echo(output)
        elif done.error is None:
            click.echo(done.submission.id)
