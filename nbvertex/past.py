"""Steps that an earlier run has done: what a resumed run, or a run of one step, takes over from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbvertex.errors import Place, Refused, UsageError
from nbvertex.lineage import Lineage, Outcome, Run, StepRow
from nbvertex.plan import Plan, Planned, missing_names


@dataclass(frozen=True, slots=True)
class Past:
    """What an earlier run did.

    Args:
        run: its row.
        done: place of a step -> its last attempt and what it left, for the steps from the first on that ended well.
        tries: place of a step -> its attempts so far.
        rounds: place of a step that runs over a list -> round -> the same, for its rounds that ended well.
    """

    run: Run
    done: Mapping[int, tuple[StepRow, Outcome]]
    tries: Mapping[int, int]
    rounds: Mapping[int, Mapping[int, tuple[StepRow, Outcome]]] = field(default_factory=dict)


def of_run(lineage: Lineage, run: Run) -> Past:
    """What a run did."""
    last: dict[int, StepRow] = {}
    rounds: list[StepRow] = []
    for row in lineage.steps(run.id):
        if row.round:
            rounds += [row] if row.finished else []
        else:
            last[row.position] = row
    finished: list[StepRow] = []
    for position in range(len(last)):
        row = last[position]
        if not row.finished:
            break
        finished.append(last[position])
    outcomes = lineage.outcomes(row.outcome for row in finished if row.outcome is not None)
    done = {row.position: (row, outcomes[row.outcome]) for row in finished if row.outcome in outcomes}
    tries = {
        position: row.attempt for position, row in last.items() if row.state not in ("queued", "skipped")
    }
    return Past(run, done, tries, _rounds(lineage, rounds))


def _rounds(lineage: Lineage, rows: Sequence[StepRow]) -> dict[int, dict[int, tuple[StepRow, Outcome]]]:
    outcomes = lineage.outcomes(row.outcome for row in rows if row.outcome is not None)
    found: dict[int, dict[int, tuple[StepRow, Outcome]]] = {}
    for row in rows:
        if row.outcome in outcomes:
            found.setdefault(row.position, {})[row.round] = row, outcomes[row.outcome]
    return found


def to_resume(past: Past, plan: Plan, version: str) -> None:
    """See to it that what a run has done may stand.

    Args:
        past: what it did.
        plan: what is to be done.
        version: of the Python that the rest would run in.

    Raises:
        Refused: it ran in another Python, a step that it has done is another one now, or did not keep what is needed now.
        UsageError: it has done everything.
    """
    if past.run.state == "done":
        raise UsageError(f"run {past.run.id} has ended well: there is nothing to resume")
    for position, (row, outcome) in past.done.items():
        problem = _unfit(plan.steps[position] if position < len(plan.steps) else None, row, outcome)
        if problem is not None:
            raise Refused(
                f"{problem} since run {past.run.id}",
                place=Place(step=row.name),
                hint="run the notebook again; steps that did not change come from the cache",
                code="changed-since",
            )
    _same_python(past.run, version)


def before(lineage: Lineage, notebook: str, plan: Plan, version: str) -> Past:
    """The newest run of a notebook whose steps before the first one planned may stand.

    Args:
        lineage: the runs.
        notebook: as the runs know it.
        plan: what is to be run.
        version: of the Python that it would run in.

    Raises:
        Refused: there is none.
    """
    first = plan.steps[plan.first]
    nearest = None
    for run in lineage.runs(notebook=notebook):
        past = of_run(lineage, run)
        problem = _unfit_before(past, plan)
        if problem is None:
            _same_python(run, version)
            return past
        nearest = nearest or f"in run {run.id}, {problem}"
    reason = nearest or "the notebook has not been run yet"
    raise Refused(
        f"there is nothing to start step {first.name} from: {reason}",
        place=Place(step=first.name),
        hint="run the notebook without naming a step",
        code="no-inputs",
    )


def _unfit_before(past: Past, plan: Plan) -> str | None:
    for planned in plan.steps[: plan.first]:
        if planned.index not in past.done:
            return f"step {planned.name} did not end well"
        row, outcome = past.done[planned.index]
        problem = _unfit(planned, row, outcome)
        if problem is not None:
            return problem
    return None


def _unfit(planned: Planned | None, row: StepRow, outcome: Outcome) -> str | None:
    if planned is None or planned.name != row.name:
        return f"step {row.name} is no longer where it was"
    if planned.identity != row.code:
        return f"the code of step {row.name} has changed"
    lost = missing_names(outcome.live, planned.live)
    if lost:
        return f"step {row.name} did not keep {', '.join(lost)}, which a later step has begun to read"
    return None


def merged_parameters(past: Past, given: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The values of the earlier run, with those given now for the steps that run now.

    Raises:
        Refused: another value is given for a step that does not run.
    """
    old = past.run.parameters
    for planned in plan.steps[: plan.first]:
        for _, name, value in planned.given:
            if name not in old or old[name] != value:
                raise Refused(
                    f"parameter {name} belongs to step {planned.name}, which does not run",
                    place=Place(step=planned.name),
                    hint="run the notebook without naming a step",
                    code="no-inputs",
                )
    return {**old, **given}


def _same_python(run: Run, version: str) -> None:
    was = str(run.environment.get("python", ""))
    if was.split(".")[:2] != version.split(".")[:2]:
        raise Refused(
            f"run {run.id} used Python {was}, and this would be {version}",
            hint="name that Python with --python, or run the notebook again",
            code="changed-since",
        )


def same_parameters(run: Run, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a run that is resumed.

    Raises:
        UsageError: other ones are given now.
    """
    for name, value in given.items():
        if name not in run.parameters or run.parameters[name] != value:
            raise UsageError(
                f"run {run.id} has another value for parameter {name}",
                hint="a resumed run keeps its parameters: leave them out, or start a new run",
            )
    return dict(run.parameters)
