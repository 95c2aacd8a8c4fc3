"""What a regular expression has found, and where it goes on looking."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

from .carried import CannotTravel

_WAYS: tuple[Callable[[re.Pattern[Any], Any, int, int], Any], ...] = (
    re.Pattern.search, re.Pattern.match, re.Pattern.fullmatch,
)  # fmt: skip


def reduce(match: re.Match[Any]) -> tuple[Any, ...]:
    """A match, by the way that finds it again in its string."""
    for way, found in _ways(match.re, match.string, match.pos, match.endpos):
        if found is not None and _is_same(found, match):
            return again, (match.re, match.string, match.pos, match.endpos, *way)
    raise CannotTravel("a match that cannot be found again", "keep its groups")


def again(
    pattern: re.Pattern[Any], string: Any, pos: int, endpos: int, way: str, number: int
) -> re.Match[Any] | None:
    """The match again.

    Args:
        pattern, string, pos, endpos: as the match has them.
        way: the method of the pattern.
        number: of the matches that it finds, which.
    """
    found: re.Match[Any] | None
    if way == "finditer":
        found = next(itertools.islice(pattern.finditer(string, pos, endpos), number, None))
    else:
        found = getattr(pattern, way)(string, pos, endpos)
    return found


def _ways(
    pattern: re.Pattern[Any], string: Any, pos: int, endpos: int
) -> Iterator[tuple[tuple[str, int], re.Match[Any] | None]]:
    for way in _WAYS:
        yield (way.__name__, 0), way(pattern, string, pos, endpos)
    for number, found in enumerate(pattern.finditer(string, pos, endpos)):
        yield ("finditer", number), found


def _is_same(one: re.Match[Any], two: re.Match[Any]) -> bool:
    return (one.regs, one.pos, one.endpos, one.lastindex) == (two.regs, two.pos, two.endpos, two.lastindex)
