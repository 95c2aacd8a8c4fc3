"""What a run tells: records while it goes on, and one record of everything when it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeAlias

from nbvertex.errors import NbvertexError

StepState: TypeAlias = Literal["queued", "running", "done", "cached", "failed", "skipped"]
RunState: TypeAlias = Literal["running", "done", "failed", "interrupted"]
Output: TypeAlias = Mapping[str, Any]  # as nbformat has it


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A run began, or goes on after a crash.

    Args:
        run: its id.
        pipeline: the pipeline's name.
        steps: all its steps, in notebook order.
        resumed: it began earlier.
        at: seconds since the epoch, here and below.
    """

    event: ClassVar[str] = "run"
    run: str
    pipeline: str
    steps: tuple[str, ...]
    at: float
    resumed: bool = False
    state: RunState = "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """A run ended.

    Args:
        run: its id.
        state: how.
        at: when.
        error: why, where it did not end well.
    """

    event: ClassVar[str] = "run"
    run: str
    state: RunState
    at: float
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepChanged:
    """A step is in another state.

    Args:
        run, step: which.
        state: the state it is in now.
        at: since when.
        attempt: counted from 1.
        seconds: how long the attempt took.
        source: the run that a cached result is from.
        error: what went wrong, in one line.
        again: why it starts once more: ``retry``, or ``stale`` where it had started early and what it read
            has changed since.
        why: why it is skipped.
        round, item: which round of a step that runs over a list, counted from 1, and on what, such as ``lr = 0.1``;
            None: the step itself.
    """

    event: ClassVar[str] = "step"
    run: str
    step: str
    state: StepState
    at: float
    attempt: int = 1
    seconds: float | None = None
    source: str | None = None
    error: str | None = None
    again: str | None = None
    why: str | None = None
    round: int | None = None
    item: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellStarted:
    """A cell began."""

    event: ClassVar[str] = "cell"
    run: str
    step: str
    position: int
    at: float
    state: StepState = "running"
    round: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOutput:
    """A cell showed something; ``output`` is as nbformat has it."""

    event: ClassVar[str] = "output"
    run: str
    step: str
    position: int
    output: Output
    round: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEnded:
    """A cell ended, well or not; ``count`` is its number as in ``In [count]``."""

    event: ClassVar[str] = "cell"
    run: str
    step: str
    position: int
    at: float
    state: StepState
    count: int | None = None
    round: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """What the names in a step's process hold, for whoever asked.

    Args:
        run, step: which.
        position: before which cell; 0: after the step's last.
        values: name -> type, digest (empty: it cannot be looked into), short text.
        gone: names that the step was given and that are no longer bound.
        shared: names that hold an object of another name's -> those names.
    """

    event: ClassVar[str] = "survey"
    run: str
    step: str
    position: int
    values: Mapping[str, tuple[str, str, str]]
    gone: tuple[str, ...]
    shared: Mapping[str, list[str]] = field(default_factory=dict)


RunEvent: TypeAlias = RunStarted | RunEnded | StepChanged | CellStarted | CellOutput | CellEnded | Surveyed


def whose(event: StepChanged | CellStarted | CellOutput | CellEnded) -> str:
    """The step that an event is about, with the round if it is about one: ``train[2]``."""
    return event.step if event.round is None else f"{event.step}[{event.round}]"


def as_json(event: RunEvent) -> dict[str, Any]:
    """The event as one object of a JSON lines stream; what is not known is left out."""
    found = {one.name: getattr(event, one.name) for one in fields(event)}
    return {"event": event.event, **{name: value for name, value in found.items() if value is not None}}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What a cell did in its last attempt.

    Args:
        position: place in the notebook, counted from 1.
        state: ``skipped`` where it was not reached.
        count: its number as in ``In [count]``.
        started, ended: seconds since the epoch.
        outputs: as nbformat has them.
    """

    position: int
    state: StepState
    count: int | None = None
    started: float | None = None
    ended: float | None = None
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step did.

    Args:
        name: the step.
        state: how it ended.
        attempt: the attempt that this is about, counted from 1.
        source: the run that a cached result is from.
        started, ended: seconds since the epoch; of that run where it is cached.
        cells: position -> what the cell did; all the step's cells.
        why: for a step that was not run, or failed, or is never cached: why.
        widgets: the state of its widgets, by model, as a notebook's metadata keeps it.
        measures: the numbers by which it is judged: those of a dict named ``metrics``.
        round, item: of a round: which one, counted from 1, and on what, such as ``lr = 0.1``.
        rounds: of a step that runs over a list: what each did; its cells show the outputs of all.
    """

    name: str
    state: StepState = "queued"
    attempt: int = 1
    source: str | None = None
    started: float | None = None
    ended: float | None = None
    cells: Mapping[int, CellResult] = field(default_factory=dict)
    why: str | None = None
    widgets: Mapping[str, Any] = field(default_factory=dict)
    measures: Mapping[str, float] = field(default_factory=dict)
    round: int | None = None
    item: str | None = None
    rounds: tuple[StepResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run did.

    Args:
        run: its id.
        state: how it ended.
        started, ended: seconds since the epoch.
        parameters: the values that were given.
        steps: step name -> what it did, in notebook order.
        error: what whoever asked for the run should be told; None where all went well.
        left: where and how the notebook ended the run itself, and well (`sys.exit()`).
    """

    run: str
    state: RunState
    started: float
    ended: float
    parameters: Mapping[str, object] = field(default_factory=dict)
    steps: Mapping[str, StepResult] = field(default_factory=dict)
    error: NbvertexError | None = None
    left: NbvertexError | None = None
