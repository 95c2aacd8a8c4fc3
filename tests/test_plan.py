"""Which steps run, on which names, with which parameters."""

from __future__ import annotations

import msgspec
import pretend
import pytest

from nbvertex.errors import UsageError
from nbvertex.pipeline import Options, Parameter
from nbvertex.plan import code_of, make, missing_names

MADE = pretend.pipeline(
    pretend.step("a", "n = 1", "k = 2", binds=("k", "n"), live=("k", "n")),
    pretend.step(
        "b", "print(n)", at=3, reads=("n",), mutates=("m",), touches=("t",), deletes=("d",), needs=("a",)
    ),
    pretend.step("c", "pass", at=4, options=Options(after=("a", "b"))),
    parameters=[Parameter(name="n", cell=1), Parameter(name="k", cell=2), Parameter(name="z")],
)


def test_names_that_a_step_must_find() -> None:
    """What it reads, changes, hands on and deletes."""
    assert make(MADE, {}).steps[1].wanted == ("d", "m", "n", "t")


def test_order() -> None:
    """Steps know by place what has to end before them, marks included."""
    assert [step.needs for step in make(MADE, {}).steps] == [(), (0,), (0, 1)]


def test_parameters_go_where_they_are_declared() -> None:
    """Each value after its own cell; one without a cell before everything."""
    steps = make(MADE, {"n": 1, "k": 2, "z": 3}).steps
    assert steps[0].given == ((1, "n", 1), (2, "k", 2), (0, "z", 3))
    assert steps[1].given == ()


@pytest.mark.parametrize(
    "only, start, found",
    [(None, None, (0, 3)), ("b", None, (1, 2)), (None, "b", (1, 3)), (None, "a", (0, 3))],
)
def test_which_steps_run(only: str | None, start: str | None, found: tuple[int, int]) -> None:
    """All, one, or from one on."""
    plan = make(MADE, {}, only=only, start=start)
    assert (plan.first, plan.end) == found


def test_unknown_step() -> None:
    """A step that is not there is refused with those that are."""
    with pytest.raises(UsageError, match="no step 'x'"):
        make(MADE, {}, only="x")


def test_step_that_may_read_everything() -> None:
    """It gets every name, and those before it keep every name."""
    greedy = msgspec.structs.replace(
        MADE.steps[1], facts=msgspec.structs.replace(MADE.steps[1].facts, everything=True)
    )
    plan = make(msgspec.structs.replace(MADE, steps=(MADE.steps[0], greedy, MADE.steps[2])), {})
    assert [step.wanted for step in plan.steps][1] is None
    assert [step.live for step in plan.steps] == [None, (), ()]


def test_code() -> None:
    """Whether a cell may fail belongs to what the code means."""
    failing = pretend.step("a", "may_fail = 1")
    sure = msgspec.structs.replace(
        failing, cells=(msgspec.structs.replace(failing.cells[0], may_fail=False),)
    )
    assert code_of(failing) != code_of(sure)


@pytest.mark.parametrize(
    "kept, needed, lost",
    [
        (("a",), ("a",), []),
        (("a",), ("b", "a"), ["b"]),
        (None, ("a",), []),
        (None, None, []),
        (("a",), None, ["every name"]),
    ],
)
def test_names_that_were_not_kept(
    kept: tuple[str, ...] | None, needed: tuple[str, ...] | None, lost: list[str]
) -> None:
    """None stands for every name on both sides."""
    assert missing_names(kept, needed) == lost
