"""The rounds of a step that runs over a list: planned from its items, and put together again as one step."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from nbvertex import __version__, choice
from nbvertex.errors import Place, StepFailed
from nbvertex.events import CellResult, StepResult, StepState
from nbvertex.flight import Flight
from nbvertex.half_characters import as_json
from nbvertex.ledger import Ledger
from nbvertex.lineage import CellRow, Outcome
from nbvertex.pipeline import Each
from nbvertex.plan import Planned, Round
from nbvertex.runtime.closure import OUTSIDE
from nbvertex.runtime.headings import joined
from nbvertex.state import Inputs, State

UNLISTED = "each-value"  # the code of the error where there is no list


class Still(State):
    """A state that nothing changes: every round finds it as it was before the first.

    Args:
        before: what is found.
    """

    def __init__(self, before: State) -> None:
        super().__init__(before.names, before.homes)

    def copy(self) -> State:
        """It serves for all."""
        return self

    def apply(self, change: object) -> None:
        """What a round does, the others do not see."""


def planned(
    step: Planned,
    each: Each,
    state: State,
    ledger: Ledger,
    ask: Callable[[Flight], Mapping[str, Any]],
    notebook: str,
) -> tuple[Planned, ...]:
    """The rounds of a step, one for each item.

    Args:
        step: it.
        each: its list.
        state: what it finds.
        ledger: holds the values.
        ask: has a task done in another process: a list that takes code of others to be read is not read here.
        notebook: for messages.

    Raises:
        Damaged: the list is missing or not what it was.
        StepFailed: there is no list.
    """
    found = _items(step, each, state, ledger, ask, notebook)
    wanted = step.wanted
    if wanted is not None and each.source and any(one["item"] is None for one in found):
        wanted = tuple(sorted({*wanted, each.source}))
    return tuple(
        replace(
            step,
            index=number - 1,
            wanted=wanted,
            needs=(),
            last=False,
            round=Round(
                place=step.index,
                number=number,
                name=each.name,
                shown=one["shown"],
                digest=one["digest"] or f"{number} of {each.source}",
                item=one["item"],
                source=each.source,
            ),
        )
        for number, one in enumerate(found, 1)
    )


def _items(
    step: Planned,
    each: Each,
    state: State,
    ledger: Ledger,
    ask: Callable[[Flight], Mapping[str, Any]],
    notebook: str,
) -> list[dict[str, Any]]:
    from nbvertex.runtime import items

    if each.items is not None:
        return [
            {**items.described(ast.literal_eval(item.source)), "shown": item.source} for item in each.items
        ]
    if each.source not in state.names:
        raise _unlisted(step, each, "is not bound", notebook)
    plain = choice.plain((each.source,), state, ledger)
    try:
        if plain is not None:
            return [items.described(item) for item in items.listed(plain[each.source])]
    except items.Unlisted as error:
        raise _unlisted(step, each, str(error), notebook) from None
    flight = Flight(step, 1, state.inputs((each.source,)), early=False)
    flight.task = {"kind": "list", "source": each.source}
    answer = ask(flight)
    if "error" in answer:
        raise _unlisted(step, each, answer["error"], notebook)
    return list(answer["items"])


def _unlisted(step: Planned, each: Each, why: str, notebook: str) -> StepFailed:
    return StepFailed(
        f"each {each.text}: `{each.source}` {why}",
        place=Place(notebook=notebook, cell=step.step.cells[0].position, step=step.name),
        hint=f"bind `{each.source}` to a list in a step before",
        code=UNLISTED,
    )


def task_of(one: Planned) -> dict[str, Any] | None:
    """What the process of a round does beside running its cells; None for a step that is no round."""
    if one.round is None:
        return None
    number = one.round
    return {
        "kind": "round",
        "name": number.name,
        "item": number.item,
        "source": number.source,
        "index": number.number - 1,
    }


def gathering(
    step: Planned, each: Each, before: State, outcomes: Sequence[Outcome], ledger: Ledger
) -> Flight:
    """The attempt that makes one step of its rounds.

    Args:
        step: it.
        each: its list.
        before: what every round found.
        outcomes: what they left, in order.
        ledger: holds the values.

    Raises:
        Damaged: a value is missing or not what it was.
    """
    lists = _lists(step, each, outcomes)
    inputs = before.inputs(name for name in lists if name in before.names)
    here = {held.digest for held in before.homes.values()}
    rounds: list[dict[str, Any]] = []
    blobs: dict[str, bytes] = {}
    shared = {held.digest: held for held in inputs.held}
    made_of: list[object] = [__version__, step.code, lists, step.live, each.seeds]
    for outcome in outcomes:
        after = State(before.names, before.homes)
        after.apply(outcome.change)
        left = after.inputs(lists)
        shared.update((held.digest, held) for held in left.held if held.digest in here)
        records = _handed_out(left, ledger, blobs)
        names = {name: entry for name, entry in left.names.items() if entry is not None}
        changed = sorted(name for name in outcome.change.names if name.startswith(OUTSIDE))
        rounds.append({"names": names, "artifacts": records, "changed": changed})
        made_of += [sorted(names.items()), sorted(left.homes().items()), changed]
    alone = replace(step, given=(), wanted=())
    flight = Flight(alone, 1, Inputs(inputs.names, tuple(shared.values())), early=False)
    flight.task = {
        "kind": "gather",
        "rounds": rounds,
        "lists": lists,
        "seeds": each.seeds,
        "imports": each.imports,
    }
    flight.blobs = tuple(blobs.values())
    flight.key = hashlib.sha256(as_json(made_of)).hexdigest()
    return flight


def _handed_out(inputs: Inputs, ledger: Ledger, blobs: dict[str, bytes]) -> list[dict[str, Any]]:
    """The artifacts of one round, the bytes of small ones put to those of all: most rounds have much in common."""
    records, own = ledger.hand_out(inputs)
    for record in records:
        if "blob" in record:
            blobs.setdefault(record["digest"], own[record["blob"]])
    places = {digest: number for number, digest in enumerate(blobs)}
    return [{**one, "blob": places[one["digest"]]} if "blob" in one else one for one in records]


def _lists(step: Planned, each: Each, outcomes: Iterable[Outcome]) -> list[str]:
    """The names that hold lists afterwards, as far as later steps read them."""
    found = {*each.gathers, *(name for outcome in outcomes for name in outcome.change.written)}
    return sorted(found if step.live is None else found.intersection(step.live))


def cells(step: Planned, results: Sequence[StepResult]) -> dict[int, CellRow]:
    """What the cells of a step did in all its rounds.

    Args:
        step: it.
        results: of the rounds, in order.
    """
    found: dict[int, CellRow] = {}
    for cell in step.step.cells:
        did = [
            (result, result.cells[cell.position])
            for result in results
            if _began(result.cells.get(cell.position))
        ]
        if did:
            outputs = joined([(r.round or 0, r.item or "", one.outputs) for r, one in did])
            found[cell.position] = CellRow(
                position=cell.position,
                state=_state([one for _, one in did]),
                count=did[-1][1].count,
                started=min(one.started or 0.0 for _, one in did),
                ended=max(one.ended or 0.0 for _, one in did),
                outputs=tuple(dict(output) for output in outputs),
            )
    return found


def with_all(outcome: Outcome, results: Sequence[StepResult]) -> Outcome:
    """What a step has left, with the widgets of all its rounds."""
    widgets = {model: state for result in results for model, state in result.widgets.items()}
    return msgspec.structs.replace(outcome, widgets=widgets)


def _began(cell: CellResult | None) -> bool:
    return cell is not None and cell.started is not None


def _state(did: Sequence[CellResult]) -> StepState:
    states = {one.state for one in did}
    return "failed" if "failed" in states else "done"
