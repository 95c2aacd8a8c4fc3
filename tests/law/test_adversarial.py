"""The traps that are given from outside: each means the same as steps and as Run All, or is refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from running import Bench, Cell, Verdict

RIGHTLY_REFUSED = {
    "skip_def": "`hidden` is defined only in cell 1, which is skipped",
    "undef": "`nowhere` is defined nowhere",
    "syntax_err": "syntax error",
    "generator": "a generator cannot travel",
    "two_step_cells": "`x`",
}
"""Those that may be refused, and what the reason must say."""


def test_every_trap_holds(bench: Bench, shared: Path) -> None:
    """No silent difference, no late failure; whatever is refused is refused for its own reason."""
    cases = json.loads((shared / "cases" / "adversarial.json").read_text(encoding="utf-8"))["cases"]
    found = {case["name"]: judged(bench, case["cells"]) for case in cases}
    wrong = {name: verdict.why for name, verdict in found.items() if not holds(name, verdict)}
    assert not wrong
    assert len(found) >= 83


def judged(bench: Bench, cells: list[dict[str, Any]]) -> Verdict:
    """One trap, run both ways."""
    return bench.judge([Cell(cell["source"], tuple(cell.get("tags", ()))) for cell in cells])


def holds(name: str, verdict: Verdict) -> bool:
    """Equal, or refused for the reason that is right for it."""
    reason = RIGHTLY_REFUSED.get(name)
    return verdict.kind == "equal" or (
        verdict.kind == "refused" and reason is not None and reason in verdict.why
    )
