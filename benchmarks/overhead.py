"""What a step adds beyond its own code, and how long a chain of 1,000 steps takes."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import time

from measure import NBVERTEX, Row, chain, fresh_run, in_turns, show, workshop


def gaps(notebook: str, home: str) -> list[float]:
    """Seconds from the end of each step to the end of the next, in a chain whose steps compute nothing."""
    process = subprocess.Popen(
        [NBVERTEX, "run", notebook, notebook.replace(".ipynb", ".out.ipynb"), "--json"],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env={**os.environ, "NBVERTEX_HOME": home},
    )  # fmt: skip
    assert process.stdout is not None
    ends = []
    for line in process.stdout:
        event = json.loads(line)
        if event.get("step") and event.get("state") == "done":
            ends.append(time.perf_counter())
    assert process.wait() == 0
    return [later - earlier for earlier, later in itertools.pairwise(ends)]


def rows() -> list[Row]:
    """Against nothing: the goals are times."""
    with workshop() as folder:
        found = gaps(str(chain(folder / "200.ipynb", 200, "numpy", "pandas")), str(folder / "home"))
        (whole,) = in_turns(1, fresh_run(chain(folder / "1000.ipynb", 1000, "numpy", "pandas")))
    median, slow = 1000 * statistics.median(found), 1000 * statistics.quantiles(found, n=20)[-1]
    return [
        Row(
            "what a step adds, median of 200", f"{median:.1f} ms (95%: {slow:.1f} ms)", "-", median, 15, " ms"
        ),
        Row("`run` of a chain of 1,000 steps", f"{whole.wall:.1f} s", "-", whole.wall, 20, " s"),
    ]


if __name__ == "__main__":
    show(rows())
