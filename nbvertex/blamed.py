"""Where in the notebook a remote step failed, from what its runtime has printed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nbvertex.errors import Place, StepFailed

_SAID = re.compile(
    r"(?:nbvertex: )?(?P<notebook>[^\n]+?), (?:cell (?P<cell>\d+) \[step (?P<step>[^\]]+)\]|step (?P<only>[^,:]+))"
    r"(?:, line (?P<line>\d+))?: (?P<said>.+)"
)
_OF = re.compile(r"(?:nbvertex: )?step (?P<step>.+?) of (?P<notebook>[^\n:]+): (?P<said>.+)")


def failure(text: str) -> StepFailed | None:
    """The failure that a line tells, with its place; None: it tells none."""
    found = _SAID.fullmatch(text.strip()) or _OF.fullmatch(text.strip())
    if found is None:
        return None
    said = found.groupdict()
    place = Place(
        notebook=said["notebook"],
        cell=int(said["cell"]) if said.get("cell") else None,
        line=int(said["line"]) if said.get("line") else None,
        step=said.get("step") or said.get("only"),
    )
    return StepFailed(said["said"], place=place)


def first_failure(lines: Iterable[tuple[str, str]], notebook: str) -> StepFailed | None:
    """The last such line about that notebook: what a step printed before may have looked like it.

    Args:
        lines: step and text of each.
        notebook: the file's name.
    """
    told = [failure(text) for _, text in lines]
    return next((one for one in reversed(told) if one is not None and one.place.notebook == notebook), None)
