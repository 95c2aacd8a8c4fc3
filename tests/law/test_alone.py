"""The law holds for steps that have nothing but the runtime, a clean folder and what their ancestors left."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from running import Bench, Cell, compare
from test_cases import CASES, Case
from test_marks import CASES as MARKED
from test_marks import Case as Marked
from test_marks import shown
from travelling import Abroad, borrowed

SHARE = 12  # one case in so many runs each time, the rest with the slow ones
# what one process does to what another has shown already: the page of an earlier step is written
SHOWN_ALREADY = frozenset(
    {
        "ipython-display-updated-in-a-later-step",
        "ipython-display-updated-over-three-steps",
        "ipython-progress-shown-in-an-earlier-step",
    }
)
# nobody sees beforehand that the steps share a part; where they meet again, that is found and refused
REFUSED = frozenset({"steps-split-up-and-joined"})


# rounds that run side by side in folders of their own cannot add to one file
APART = frozenset({"each-one-file"})


def _some(case: Case) -> bool:
    return zlib.crc32(case.name.encode()) % SHARE == 0


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=[] if _some(case) else [pytest.mark.slow])
        for case in CASES
        if case.name not in SHOWN_ALREADY
    ],
)
def test_case_holds_abroad(bench: Bench, case: Case, tmp_path: Path) -> None:
    """What the case states holds where the steps run in any order that they may, each in a folder of its own."""
    abroad = Abroad(tmp_path, borrowed(bench), random.Random(case.name))
    verdict = compare(replace(bench.straight(case.cells), files={}), abroad.run(case.cells))
    holds = "refused" if case.name in REFUSED else case.holds
    assert verdict.kind == holds, verdict.why


@pytest.mark.parametrize("case", MARKED.values(), ids=MARKED)
def test_marks_hold_abroad(
    bench: Bench, case: Marked, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Conditions and lists mean the same where every part of a step is a container of its own."""
    seen = Abroad(tmp_path, borrowed(bench), random.Random(case.name)).run(case.cells)
    told = capfd.readouterr().err
    stops = (
        "refused" if seen.refusals else "fails" if seen.failure or "nbvertex: nb.ipynb" in told else "equal"
    )
    holds = "refused" if case.name in APART else case.holds
    assert stops == holds or {stops, holds} == {"refused", "fails"}, told
    assert stops != "equal" or shown(seen) == case.shows, case.why
    assert seen.begun != case.before


def test_steps_in_interpreters_of_their_own(bench: Bench, tmp_path: Path) -> None:
    """Each step is a fresh process, as in a container."""
    cells = (
        Cell("import random, os\nrandom.seed(1)\nclass Box(list):\n    pass", ("setup",)),
        Cell("box = Box([1])\nopen('note', 'w').write('x')\nrandom.random()", ("step:a",)),
        Cell("box.append(random.random())\nbox", ("step:b",)),
        Cell("print(box, isinstance(box, Box), open('note').read(), os.listdir('.'))\n1 / 0", ("step:c",)),
    )
    seen = Abroad(tmp_path).run(cells)
    assert compare(replace(bench.straight(cells), files={}), seen).kind == "equal", seen
    assert seen.failure == (4, "ZeroDivisionError")
