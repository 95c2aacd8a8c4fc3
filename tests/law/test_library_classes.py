"""Objects of the libraries people use: declared in one step, changed in the next, read in a third."""

from __future__ import annotations

import collections
from collections.abc import Iterator

import pytest
from library_classes import CASES, Benches, Case


@pytest.fixture(scope="module")
def benches() -> Iterator[Benches]:
    """Warm processes, for one library at a time."""
    with Benches() as made:
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.library}-{case.name}")
def test_object_is_carried_or_refused(benches: Benches, case: Case) -> None:
    """What must hold is stated with the case."""
    if case.missing:
        pytest.skip(f"{', '.join(case.missing)} is not installed; `nox -s libraries` installs it")
    assert not case.fault(benches.judge(case))


def test_most_of_the_study_is_carried() -> None:
    """At least nine in ten of the study's classes travel; for the others the table says what the refusal names."""
    holds = collections.Counter(case.holds for case in CASES if case.study)
    assert holds["equal"] >= 0.9 * holds.total()
    assert all(case.says for case in CASES if case.holds == "refused")
