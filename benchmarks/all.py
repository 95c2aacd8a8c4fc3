"""All benchmarks, as one table; words choose some: `python benchmarks/all.py help run_chain`.

With `--readme` the table is written into README.md too.
"""

from __future__ import annotations

import importlib
import re
import sys

from measure import ROOT, Row, show, table

NAMES = ["help", "check", "run_chain", "overhead", "cached", "parallel", "big_array", "corpus"]
PLACE = re.compile(r"(<!-- figures -->\n).*?(?=<!-- end -->)", re.DOTALL)


def write(rows: list[Row]) -> None:
    """Put the table where README.md has its figures."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    readme.write_text(PLACE.sub(lambda found: f"{found[1]}{table(rows)}\n", text), encoding="utf-8")


if __name__ == "__main__":
    words = sys.argv[1:]
    found: list[Row] = []
    for name in [word for word in words if word != "--readme"] or NAMES:
        print(f"{name} ...", file=sys.stderr)
        found += importlib.import_module(name).rows()
    show(found)
    if "--readme" in words:
        write(found)
    sys.exit(any(row.figure > row.goal for row in found))
