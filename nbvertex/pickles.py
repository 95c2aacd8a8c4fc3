"""What is in a pickle, read without making any object or calling any function that it names."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar

MOST = 64 << 20  # bytes
WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")  # after it, joblib writes an array as it is


def shape(data: bytes) -> tuple[str, ...] | None:
    """Digests of what a pickle holds; equal where only what is stored once and what twice differs.

    Args:
        data: the file's bytes; joblib's files are read too.

    Returns:
        one for every pickle in the file; None where it is no pickle.
    """
    if not data.startswith(b"\x80") or len(data) > MOST:
        return None
    file = io.BytesIO(data)
    found = []
    try:
        while file.tell() < len(data):
            found.append(_Digests().of(_Reader(file).load()))
    except Exception:  # whatever a broken or strange stream leads to: it is compared by its bytes
        return None
    return tuple(found)


class Made:
    """An object or a class that a pickle describes: how it is made, and what is done to it afterwards."""

    def __init__(self, *how: Any) -> None:
        self.how = list(how)

    def __call__(self, *given: Any) -> Made:
        return Made(self, given)

    def __setstate__(self, state: Any) -> None:
        self.how.append(("state", state))

    def append(self, item: Any) -> None:
        """An item of a list, as pickles hand it over."""
        self.how.append(item)

    add = append

    def extend(self, items: Any) -> None:
        """Several of them."""
        self.how.extend(items)

    def __setitem__(self, key: Any, item: Any) -> None:
        self.how.append((key, item))


class _Reader(pickle._Unpickler):  # type: ignore[misc, name-defined, unused-ignore]
    """Python's own reader in Python, with everything that it would make or call replaced."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    append: Callable[[Any], None]

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, buffers=iter(()))
        self._file = file

    def find_class(self, module: str, name: str) -> Made:
        """Stands for what the pickle names."""
        return Made(module, name)

    def persistent_load(self, pid: Any) -> Made:
        """Stands for what lies elsewhere."""
        return Made("persistent", pid)

    def get_extension(self, code: int) -> None:
        """Stands for a class that goes by a number."""
        self.append(Made("extension", code))

    def _instantiate(self, klass: Any, args: Any) -> None:
        self.append(Made(klass, args))

    def load_newobj(self) -> None:
        """An object made of a class and arguments."""
        args, kind = self.stack.pop(), self.stack.pop()
        self.append(Made(kind, args))

    def load_newobj_ex(self) -> None:
        """The same, with keywords."""
        keywords, args, kind = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.append(Made(kind, args, keywords))

    def load_build(self) -> None:
        """The state of an object; of joblib's wrapper, the array that follows."""
        state = self.stack.pop()
        made = self.stack[-1]
        made.__setstate__(state)
        if isinstance(made.how[0], Made) and tuple(made.how[0].how) == WRAPPER:
            made.append(self._array(state))

    def _array(self, state: dict[str, Any]) -> Any:
        code = state["dtype"].how[1][0]
        if code == "O8":
            return _Reader(self._file).load()
        if "numpy_array_alignment_bytes" in state:
            self._file.read(int.from_bytes(self._file.read(1), "little"))
        count = 1
        for length in state["shape"]:
            count *= length
        digits = re.search(r"\d+", code)
        width = int(digits[0]) * (4 if code.startswith("U") else 1) if digits else 1
        return self._file.read(count * width)

    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex
    dispatch[pickle.BUILD[0]] = load_build


class _Digests:
    """Digests of what a `_Reader` gave."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}
        self._kept: list[Any] = []  # ids must not be used twice
        self._inside: dict[int, int] = {}

    def of(self, value: Any) -> str:
        """The digest of a value; equal for equal values."""
        if not isinstance(value, (Made, dict, list, tuple, set, frozenset)):
            return _digest(type(value).__name__, repr(value))
        key = id(value)
        if key in self._inside:
            return f"within {len(self._inside) - self._inside[key]}"
        if key not in self._known:
            self._inside[key] = len(self._inside)
            self._known[key] = self._container(value)
            del self._inside[key]
            self._kept.append(value)
        return self._known[key]

    def _container(self, value: Any) -> str:
        if isinstance(value, dict):
            parts = [self.of(part) for pair in value.items() for part in pair]
        elif isinstance(value, (set, frozenset)):
            parts = sorted(self.of(part) for part in value)
        else:
            parts = [self.of(part) for part in (value.how if isinstance(value, Made) else value)]
        return _digest(type(value).__name__, *parts)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
