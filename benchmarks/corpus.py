"""How many real notebooks can be read, and how fast: those in shared/corpus beside the repository, where it is there."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from measure import NBVERTEX, ROOT, Row, show

CORPUS = Path(os.environ.get("NBVERTEX_SHARED") or ROOT.parent / "shared") / "corpus"


def rows() -> list[Row]:
    """The share of Python notebooks that `check` finds something wrong with, nothing being marked in them."""
    notebooks = sorted(map(str, CORPUS.rglob("*.ipynb")))
    if not notebooks:
        return []
    start = time.perf_counter()
    done = subprocess.run(
        [NBVERTEX, "check", "--json", *notebooks],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - start
    found = json.loads(done.stdout)
    refused = sum(not one["ok"] for one in found)
    return [
        Row(f"`check` of {len(notebooks)} real notebooks", f"{refused} refused, {1000 * seconds / len(notebooks):.0f} ms each",
            "Kale refuses 60 of 60 sampled", refused / len(notebooks), 0.05),
    ]  # fmt: skip


if __name__ == "__main__":
    show(rows())
