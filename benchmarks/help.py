"""How long `nbvertex --help` takes: what every call costs at the least."""

from __future__ import annotations

from measure import NBVERTEX, PAPERMILL, Row, command, compare, in_turns, show


def rows() -> list[Row]:
    """Against `papermill --help`."""
    ours, theirs = in_turns(7, lambda: command(NBVERTEX, "--help"), lambda: command(PAPERMILL, "--help"))
    return [compare("`--help`", ours, theirs, "`papermill --help`", 0.1)]


if __name__ == "__main__":
    show(rows())
