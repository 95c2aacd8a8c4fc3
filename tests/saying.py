"""The command line, run in the test's own process."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from nbvertex import cli


@dataclass(frozen=True)
class Said:
    """What a command said."""

    code: int
    out: str
    err: str


def said(capfd: pytest.CaptureFixture[str], words: tuple[str, ...]) -> Said:
    """Run a command, and hear what it says.

    Args:
        capfd: pytest's fixture.
        words: behind the name of the program.
    """
    capfd.readouterr()
    try:
        cli.main(words)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    found = capfd.readouterr()
    return Said(code, found.out, found.err)
