"""How long a second run takes, when every step comes from the cache."""

from __future__ import annotations

from measure import Row, chain, compare, fresh_run, in_turns, papermill_run, show, workshop


def rows() -> list[Row]:
    """Ten steps against papermill on the same file; 1,000 steps against the clock."""
    with workshop() as folder:
        notebook = chain(folder / "10.ipynb", 10, "numpy", "pandas")
        again = fresh_run(notebook, home=folder / "home-10")
        again()
        ours, theirs = in_turns(5, again, papermill_run(notebook))
        many = fresh_run(chain(folder / "1000.ipynb", 1000, "numpy", "pandas"), home=folder / "home-1000")
        many()
        (whole,) = in_turns(3, many)
    return [
        compare("second `run` of 10 steps, all cached", ours, theirs, "papermill", 0.15),
        Row("second `run` of 1,000 steps, all cached", f"{whole.wall:.2f} s", "-", whole.wall, 3, " s"),
    ]


if __name__ == "__main__":
    show(rows())
