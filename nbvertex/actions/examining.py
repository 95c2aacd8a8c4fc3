"""What a profile needs before a first submission."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from nbvertex import config, profiles
from nbvertex.errors import RemoteError
from nbvertex.readiness import Finding, Looking
from nbvertex.vertex import Door

PATIENCE = 15.0


def examine(profile: str | None, folder: Path, door: Door | None = None) -> Iterator[Finding]:
    """Look at everything, in the order in which a submission needs it.

    Args:
        profile: its name; None: the one that the settings name.
        folder: whose settings count.
        door: to Google Cloud; None: Google's.

    Raises:
        UsageError: there is no such profile.
        Refused: no emulator can be started for it.
    """
    from nbvertex.patience import Patience
    from nbvertex.reaching import reached

    settings = config.load(folder / "notebook.ipynb")
    chosen = profiles.choose(settings, profile)
    lacking = list(profiles.missing(chosen, settings))
    for problem in lacking:
        yield Finding(
            problem.code.removeprefix("no-").replace("-", " "),
            "wrong",
            problem.message,
            "submitting",
            problem.hint or "",
        )
    if lacking:
        return
    with contextlib.ExitStack() as stack:
        try:
            way = door or stack.enter_context(reached(chosen.profile))
        except RemoteError as error:
            yield Finding("client", "wrong", error.message, "asking Google Cloud at all", error.hint or "")
            return
        yield Finding("client", "ok", "installed", "asking Google Cloud at all")
        yield from Looking(way, Patience(PATIENCE, refresh=way.refresh), chosen.profile).all()
