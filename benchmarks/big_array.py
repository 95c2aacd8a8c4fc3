"""How long an array of 800 MB takes from one step to the next, and how much memory besides its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
from measure import NBVERTEX, Row, show, workshop

ITEMS = 100_000_000  # of 8 bytes
SMALL = 1000
SAVE_AND_LOAD = """\
import sys, time
import numpy as np
array = np.arange(int(sys.argv[1]), dtype="float64")
start = time.time()
np.save(sys.argv[2], array)
again = np.load(sys.argv[2], mmap_mode="r")
print(time.time() - start)
"""


def anonymous(root: int) -> int:
    """Bytes of memory, not backed by a file, of a process and all below it; what they share counts once."""
    total = 0
    try:
        tree = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in tree:
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except OSError:
            continue  # it has ended
        total += 1024 * sum(
            int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss_Anon:")
        )
    return total


def hand_over(folder: Path, items: int) -> tuple[float, int]:
    """Seconds from the last line of the step that makes the array to the first line of the step that reads it, and the peak of
    memory of the whole run."""
    from making import cell, write

    notebook = write(
        folder / f"{items}.ipynb",
        [
            cell("import time\nimport numpy as np", "imports"),
            cell(f"array = np.arange({items}, dtype='float64')\nprint(time.time())", "step:make"),
            cell("print(time.time())\nassert array[-1] == len(array) - 1", "step:read"),
        ],
    )
    out = notebook.with_suffix(".out.ipynb")
    process = subprocess.Popen(
        [NBVERTEX, "run", str(notebook), str(out), "--no-cache"], cwd=folder, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, env={**os.environ, "NBVERTEX_HOME": str(folder / "home")},
    )  # fmt: skip
    peak = 0
    while process.poll() is None:
        peak = max(peak, anonymous(process.pid))
        time.sleep(0.02)
    assert process.returncode == 0
    cells = json.loads(out.read_text(encoding="utf-8"))["cells"]
    made, read = (float("".join(cell["outputs"][0]["text"])) for cell in cells[1:])
    return read - made, peak


def rows() -> list[Row]:
    """Against np.save and np.load of the same array, and against the same run with a small one."""
    with workshop() as folder:
        _, peak_small = hand_over(folder, SMALL)
        times, baselines, peaks = [], [], []
        for _ in range(3):
            words = [sys.executable, "-c", SAVE_AND_LOAD, str(ITEMS), str(folder / "array.npy")]
            baselines.append(float(subprocess.run(words, check=True, capture_output=True, text=True).stdout))
            (folder / "array.npy").unlink()
            seconds, peak = hand_over(folder, ITEMS)
            times.append(seconds)
            peaks.append(peak)
    ours, theirs = sorted(times)[1], sorted(baselines)[1]
    extra = max(0.0, (max(peaks) - peak_small - 8 * (ITEMS - SMALL)) / 2**20)
    return [
        Row(
            "800 MB array from step to step",
            f"{ours:.2f} s",
            f"{theirs:.2f} s, np.save + np.load(mmap_mode)",
            ours / theirs,
            2.0,
        ),
        Row(
            "memory besides the array",
            f"{extra:.0f} MiB",
            "the same run, small array",
            max(extra, 0),
            64,
            " MiB",
        ),
    ]


if __name__ == "__main__":
    show(rows())
