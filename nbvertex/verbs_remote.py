"""What ``runs`` says of runs at Vertex AI, and the command that stops one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from nbvertex.commandline import Verb, as_json, print_json, say
from nbvertex.errors import Exit, UsageError, visible

if TYPE_CHECKING:
    from nbvertex.home import Home
    from nbvertex.submissions import Submission


def clock(seconds: float) -> str:
    """A moment, in the user's time zone."""
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def took(seconds: float | None) -> str:
    """A duration; empty where it is not over."""
    return "" if seconds is None else f"{seconds:.2f} s"


def row(one: Submission) -> tuple[str, ...]:
    """A submission as a row of the list of runs."""
    from collections import Counter

    from nbvertex.actions.running import near

    counts = Counter(seen.state for seen in one.seen.values())
    steps = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    spent = one.ended - one.started if one.ended is not None else None
    where = f"{near(one.notebook)} (at {one.target})"
    return (one.id, one.state, clock(one.started), took(spent), steps, where)


def show(home: Home, one: Submission, *, as_json: bool) -> None:
    """Print a submission as it is now."""
    from nbvertex.actions import remote

    one, trouble = remote.shown(home, one)
    if as_json:
        print_json({**remote.as_json(one), "trouble": trouble})
        return
    say(_described(one))
    if trouble is not None:
        say([f"as it was seen last; now it cannot be asked: {trouble}"], err=True)


def _described(one: Submission) -> Iterator[str]:
    from nbvertex import follow
    from nbvertex.actions import remote
    from nbvertex.actions.running import near
    from nbvertex.picture import columns

    said = [
        ("notebook", near(one.notebook)),
        ("target", f"{one.target}, profile {one.profile_name or '(none)'}"),
        ("project", f"{one.where.project}, {one.where.region}, as {one.where.service_account}"),
        ("started", clock(one.started)),
        ("took", took(one.ended - one.started if one.ended is not None else None)),
        ("parameters", ", ".join(f"{name} = {value!r}" for name, value in one.parameters.items())),
        ("error", (one.error or "").partition("\n")[0]),
        *(("job", job.resource or f"{job.state}: {job.where}") for job in one.jobs),
        *(("console", found) for found in remote.links(one)),
    ]
    yield f"run {one.id}: {one.state}"
    yield from columns([(f"  {name}", value) for name, value in said if value])
    rows = []
    for name, seen in one.seen.items():
        started, ended = follow.seconds(seen.started), follow.seconds(seen.ended)
        spent = ended - started if started and ended else None
        count = f"attempt {seen.attempt}" if seen.attempt > 1 else ""
        rows.append((f"  {name}", seen.state, took(spent), count, (seen.error or "").partition("\n")[0]))
    yield from ["", "steps", *columns(rows)]


def print_logs(home: Home, one: Submission, step: str | None, *, as_json: bool) -> None:
    """Print what the steps of a submission have printed."""
    import dataclasses

    from nbvertex.actions import remote

    found = remote.logs(home, one, step)
    if as_json:
        print_json([{"step": owner, **dataclasses.asdict(line)} for owner, line in found])
        return
    last = None
    for owner, line in found:
        if owner != last:
            say([f"--- [step {owner}]"])
            last = owner
        click.echo(visible(line.text.rstrip("\n")))


@click.command("cancel", cls=Verb)
@click.argument("run", metavar="[RUN]", default="last")
@click.option(
    "--notebook", metavar="NB", type=click.Path(), help="Look where the runs of this notebook are kept."
)
@as_json
def cancel(run: str, notebook: str | None, as_json: bool) -> int:
    """Ask Vertex AI to stop a run that was submitted."""
    from nbvertex.actions import remote, runs

    home = runs.home_of(notebook)
    one = remote.named(home, run)
    if one is None:
        raise UsageError(
            f"no submission is called {run}",
            hint="a run on this machine is stopped with Ctrl-C where it runs",
        )
    said: list[str] = []
    stopped = remote.cancel(home, one, said.append)
    if as_json:
        print_json({"run": one.id, "cancelled": stopped, "said": said})
    else:
        say(said)
    return Exit.OK if stopped else Exit.REMOTE
