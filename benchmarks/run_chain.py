"""How long a run of ten steps takes, each isolated, with numpy and pandas imported."""

from __future__ import annotations

from measure import Row, chain, compare, fresh_run, in_turns, papermill_run, show, workshop


def rows() -> list[Row]:
    """Against papermill on the same file."""
    with workshop() as folder:
        notebook = chain(folder / "chain.ipynb", 10, "numpy", "pandas")
        ours, theirs = in_turns(5, fresh_run(notebook), papermill_run(notebook))
    return [compare("`run` of a chain of 10 steps", ours, theirs, "papermill, not isolated", 0.4)]


if __name__ == "__main__":
    show(rows())
