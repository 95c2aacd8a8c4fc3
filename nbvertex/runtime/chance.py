"""Random numbers that nobody seeded: nobody can tell whether later ones come from the same generator."""

from __future__ import annotations

import random
from typing import Any

_WORDS = 624  # of the Mersenne Twister's state
_MOST = 200  # times that the whole state is made anew


def only_drew(before: Any, now: Any, text: str) -> bool:
    """Whether numbers were drawn from a generator and nothing else was done to it, so far as cells can tell.

    Args:
        before, now: what `random.getstate` gave.
        text: of the cells.
    """
    if "getstate" in text:
        return False
    generator = random.Random()
    generator.setstate(before)
    for _ in range(_MOST):
        if generator.getstate()[1][:_WORDS] == now[1][:_WORDS]:
            return True
        generator.getrandbits(32 * _WORDS)
    return False
