"""The program ``nbvertex``: what the user typed goes to `verbs`, what goes wrong becomes an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from nbvertex import usage

AT_ONCE = {
    "--help": usage.text,
    "-h": usage.text,
    "--version": usage.version,
}  # without loading anything else


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line, and end the process with its exit code.

    Args:
        argv: the words after the program's name; None: those of this process.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if len(words) == 1 and words[0] in AT_ONCE:
        sys.stdout.write(AT_ONCE[words[0]]())
        return
    from nbvertex import console, verbs
    from nbvertex.commandline import Session

    if wanted := os.environ.get(verbs.COMPLETING):
        sys.exit(verbs.complete(wanted))
    session = Session()
    sys.exit(console.guarded(lambda: verbs.call(words, session), lambda: session.debug))
