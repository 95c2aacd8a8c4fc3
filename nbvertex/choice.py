"""Whether a step under a condition is taken: decided before it begins, on the values that it would find."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from nbvertex import grammar
from nbvertex.errors import Place, StepFailed
from nbvertex.flight import Flight
from nbvertex.ledger import Ledger
from nbvertex.pipeline import When
from nbvertex.plan import Planned
from nbvertex.state import State

PLAIN = "json"  # the format that this process reads itself: nothing in it can run
UNDECIDED = "when-value"  # the code of the error where the values do not allow an answer


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether a step is taken.

    Args:
        taken: it is.
        why: ``when accuracy > 0.9: accuracy is 0.83``.
    """

    taken: bool
    why: str


def choose(
    planned: Planned,
    when: When,
    state: State,
    ledger: Ledger,
    ask: Callable[[Flight], Mapping[str, Any]],
    notebook: str,
) -> Choice:
    """Decide the condition of a step.

    Args:
        planned: the step.
        when: its condition.
        state: what it would find.
        ledger: holds the values.
        ask: has a task done in another process: values whose own code says how they compare are not read here.
        notebook: for messages.

    Raises:
        Damaged: a value is missing or not what it was.
        StepFailed: a name is not bound, or its value cannot be compared.
    """
    test = msgspec.to_builtins(when.test)
    names = grammar.names(when.test)
    known = plain(names, state, ledger)
    if known is not None:
        from nbvertex.runtime import condition

        answer: Mapping[str, Any] = condition.decide(test, known)
    else:
        flight = Flight(planned, 1, state.inputs(names), early=False)
        flight.task = {"kind": "decide", "test": test, "names": names}
        answer = ask(flight)
    if "error" in answer:
        raise StepFailed(
            f"when {when.text}: {answer['error']}",
            place=Place(notebook=notebook, cell=planned.step.cells[0].position, step=planned.name),
            hint=f"bind `{answer['name']}` to a number, a text, a bool or None in a step before",
            code=UNDECIDED,
        )
    return Choice(answer["holds"], f"when {when.text}: {answer['because']}")


def plain(names: tuple[str, ...], state: State, ledger: Ledger) -> dict[str, Any] | None:
    """The values of names, as far as they are bound; None where one takes code of others to be read."""
    found: dict[str, Any] = {}
    for name in names:
        entry = state.names.get(name)
        if entry is None:
            continue
        held = state.homes.get(entry)
        if held is None or held.format != PLAIN:
            return None
        from nbvertex.runtime import container, formats

        opened = container.read_bytes(ledger.bytes_of(held), held.digest)
        found[name] = formats.read(opened)[held.entries.index(entry)]
    return found
