"""What is gained by running steps side by side that need nothing of each other."""

from __future__ import annotations

from measure import Row, compare, fresh_run, in_turns, show, workshop

BUSY = """\
def busy(seconds):
    end = process_time() + seconds
    rounds = 0
    while process_time() < end:
        rounds += sum(range(1000)) > 0
    return rounds > 0
"""


def rows() -> list[Row]:
    """Four steps of two CPU seconds on two cores, against the same one after another."""
    from making import cell, write

    with workshop() as folder:
        cells = [cell(f"from time import process_time\n{BUSY}", "imports")]
        cells += [cell(f"{name} = busy(2)", f"step:{name}") for name in ("a", "b", "c", "d")]
        notebook = write(folder / "four.ipynb", cells)
        together, in_order = in_turns(
            3, fresh_run(notebook, "--jobs", "2"), fresh_run(notebook, "--jobs", "1")
        )
    return [compare("four independent steps of 2 CPU s, `--jobs 2`", together, in_order, "`--jobs 1`", 0.6)]


if __name__ == "__main__":
    show(rows())
