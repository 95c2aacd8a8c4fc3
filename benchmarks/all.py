"""All benchmarks, as one table; words on the command line choose: `python benchmarks/all.py help run_chain`."""

from __future__ import annotations

import importlib
import sys

from measure import Row, show

NAMES = ["help", "check", "run_chain", "overhead", "cached", "parallel", "big_array", "corpus"]

if __name__ == "__main__":
    found: list[Row] = []
    for name in sys.argv[1:] or NAMES:
        print(f"{name} ...", file=sys.stderr)
        found += importlib.import_module(name).rows()
    show(found)
    sys.exit(any(row.figure > row.goal for row in found))
