"""The items of a list over which a step runs: what counts as a list, and each item by itself."""

from __future__ import annotations

import base64
import collections
import collections.abc
import hashlib
import pickle
from typing import Any

from . import condition

MOST = 10_000
ONE = (str, bytes, bytearray, memoryview)


class Unlisted(Exception):
    """A value that is no list; the message says why, after its name."""


def listed(value: Any) -> list[Any]:
    """The items of a list, a tuple, the keys of a dict, a row of an array, a pandas column.

    Raises:
        Unlisted: it has no items, or no order, or can be looked at only once.
    """
    kind = type(value)
    top = kind.__module__.partition(".")[0]
    if isinstance(value, ONE):
        raise Unlisted(f"({condition.type_name(value)}) is a single value")
    many = isinstance(value, (collections.abc.Sequence, dict, collections.deque))
    many = many or (top == "numpy" and getattr(value, "ndim", 0) > 0)
    many = many or (top == "pandas" and kind.__name__ != "DataFrame" and getattr(value, "ndim", 0) == 1)
    if not many:
        raise Unlisted(f"({condition.type_name(value)}) is no list")
    if len(value) > MOST:
        raise Unlisted(f"has {len(value):,} items, and {MOST:,} is the most")
    return list(value)


def described(item: Any) -> dict[str, str | None]:
    """An item as whoever starts the rounds sees it.

    Returns:
        ``shown``: it in a few words; ``item``: it pickled, in base64, where that says all there is to know of it,
        else None: then it has to be taken from its list; ``digest``: of that.
    """
    try:
        data = pickle.dumps(item, protocol=4)
    except Exception:  # whatever the item's own code raises
        data = None
    if data is not None and b"__main__" in data:  # what the notebook defines is more than its name
        data = None
    return {
        "shown": condition.short(item),
        "item": None if data is None else base64.b64encode(data).decode(),
        "digest": "" if data is None else hashlib.sha256(data).hexdigest(),
    }
