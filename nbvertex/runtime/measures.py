"""The numbers by which a step is judged, found in its names when it ends."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_DEEPEST = 4
_MOST = 500


def take(namespace: Mapping[str, Any], names: Iterable[str]) -> dict[str, float]:
    """The numbers that these names hold: one each, or those of a dict, ``a/b`` where dicts lie in dicts.

    Args:
        namespace: name -> value.
        names: what to look at; a name that is not bound, and what is no number, is left out.
    """
    found: dict[str, float] = {}
    for name in names:
        if name not in namespace:
            continue
        value = namespace[name]
        inner = "" if isinstance(value, Mapping) else name
        for key, number in _numbers(value, inner, 0):
            if len(found) < _MOST:
                found.setdefault(key, number)
    return found


def _numbers(value: Any, path: str, depth: int) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping) and depth < _DEEPEST:
        for key, item in value.items():
            if isinstance(key, str | int):
                yield from _numbers(item, f"{path}/{key}" if path else str(key), depth + 1)
        return
    try:
        scalar = value.item() if getattr(value, "shape", None) == () else value
        if isinstance(scalar, numbers.Real) and math.isfinite(scalar):
            yield path, float(scalar)
    except Exception:  # the value's own code: then it is no number
        return
