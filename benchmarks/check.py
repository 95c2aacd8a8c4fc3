"""How long it takes to read a notebook: `show` and `check` of few steps, of 200 and of 1,000."""

from __future__ import annotations

import os

from measure import NBVERTEX, PAPERMILL, Row, chain, command, compare, in_turns, show, workshop

KALE_CPU = 14.4
"""CPU seconds in which Kale 2.3.0 converts 200 steps, measured beforehand on two cores; KALE=path/to/kale measures it anew."""


def rows() -> list[Row]:
    """Against `papermill --help` and Kale."""
    with workshop() as folder:
        ten, some, many = (str(chain(folder / f"{n}.ipynb", n, "numpy", "pandas")) for n in (10, 200, 1000))
        shown, checked, theirs = in_turns(
            5,
            lambda: command(NBVERTEX, "show", ten),
            lambda: command(NBVERTEX, "check", ten),
            lambda: command(PAPERMILL, "--help"),
        )
        of_200, of_1000 = in_turns(
            3, lambda: command(NBVERTEX, "check", some), lambda: command(NBVERTEX, "check", many)
        )
        kale = KALE_CPU
        if "KALE" in os.environ:
            kale = command(os.environ["KALE"], "--nb", some, cwd=folder).cpu
    return [
        compare("`show` of 10 steps", shown, theirs, "`papermill --help`", 0.25),
        compare("`check` of 10 steps", checked, theirs, "`papermill --help`", 0.25),
        Row("`check` of 200 steps", f"{of_200.cpu:.2f} CPU s", f"{kale:.1f} CPU s, Kale on 200", of_200.cpu / kale, 0.05),
        Row("`check` of 1,000 steps", f"{of_1000.cpu:.2f} CPU s", f"{kale:.1f} CPU s, Kale on 200", of_1000.cpu / kale, 0.05),
        Row("growth from 200 to 1,000 steps", f"{of_1000.cpu:.2f} CPU s", f"{of_200.cpu:.2f} CPU s, ours on 200",
            of_1000.cpu / of_200.cpu, 5.0),
    ]  # fmt: skip


if __name__ == "__main__":
    show(rows())
