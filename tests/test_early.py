"""Which steps may start before their turn, and whether what they read still holds."""

from __future__ import annotations

from typing import Any

import pretend
import pytest

from nbvertex.early import Early, untouched
from nbvertex.plan import make
from nbvertex.state import Held, Inputs


@pytest.mark.parametrize(
    "facts, may, passes",
    [
        ({}, True, True),
        ({"outside": ("display", "random", "clock")}, True, True),
        ({"outside": ("files",), "files_read": ("a.csv",)}, True, True),
        ({"outside": ("files",)}, False, True),
        ({"outside": ("files",), "files_written": ("a.csv",)}, False, True),
        ({"outside": ("network",)}, False, True),
        ({"outside": ("process",)}, False, True),
        ({"outside": ("cwd",)}, True, False),
        ({"outside": ("modules",)}, True, False),
        ({"imports": ("numpy",)}, True, False),
        ({"imports": ("os",)}, True, True),
        ({"everything": True}, False, False),
    ],
)
def test_what_may_run_beside_others(facts: dict[str, Any], may: bool, passes: bool) -> None:
    """A step whose effects are seen at once waits; one that changes what all take over is waited for."""
    first = pretend.step("a", "import os", imports=("os",))
    plan = make(pretend.pipeline(first, pretend.step("b", "pass", at=2, **facts)), {})
    early = Early(plan.steps)
    assert early.may_start(plan.steps[1]) is may
    assert early.lets_pass(plan.steps[1]) is passes


def inputs(**found: str | None) -> Inputs:
    """Names with the digests of what they are bound to; ``at_`` stands for ``@``."""
    names = {name.replace("at_", "@"): name if digest else None for name, digest in found.items()}
    held = [Held(digest=d, size=1, format="json", entries=(name,)) for name, d in found.items() if d]
    return Inputs(names, tuple(held))


@pytest.mark.parametrize(
    "before, now, outside, aside",
    [
        (inputs(x="1"), inputs(x="1"), (), set()),
        (inputs(x="1"), inputs(x="2"), (), None),
        (inputs(x=None), inputs(x="2"), (), None),
        (inputs(x="1", at_random="1"), inputs(x="1", at_random="2"), (), {"@random"}),
        (inputs(x="1"), inputs(x="1", at_random="2"), (), {"@random"}),
        (inputs(x="1", at_random="1"), inputs(x="1", at_random="2"), ("random",), None),
        (inputs(x="1", at_random="1"), inputs(x="2", at_random="2"), (), None),
        (inputs(at_cwd="1"), inputs(at_cwd="2"), (), None),
        (inputs(at_random="1", at_cwd="1"), inputs(at_random="2", at_cwd="2"), (), None),
    ],
)
def test_what_still_holds(
    before: Inputs, now: Inputs, outside: tuple[str, ...], aside: set[str] | None
) -> None:
    """Equal inputs hold; other random state does where the step has not drawn from it."""
    step = make(pretend.pipeline(pretend.step("a", "pass", outside=outside)), {}).steps[0]
    found = untouched(step, before, now)
    assert (None if found is None else set(found)) == aside
