"""The source of a last step that tells everything about the values of names: what they are, and what they share."""

from __future__ import annotations

from collections.abc import Iterable

_SHAPE = """\
def _told(value, known):
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return type(value).__name__ + " " + repr(value)
    if id(value) in known:
        return "#%d" % known[id(value)][0]
    number = len(known)
    known[id(value)] = number, value
    kind, parts = type(value), []
    if isinstance(value, type):
        if value.__module__ == "__main__":
            parts = [item for item in vars(value).items() if not item[0].startswith(("__", "_abc_"))]
        return "#%d class %s%s" % (number, value.__qualname__, [(n, _told(v, known)) for n, v in parts])
    if isinstance(value, (list, tuple, set, frozenset)):
        parts += [_told(one, known) for one in value]
    elif isinstance(value, dict):
        parts += [(_told(key, known), _told(one, known)) for key, one in value.items()]
    elif kind.__name__ == "function":
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        parts += [_told(one, known) for one in (value.__defaults__, value.__kwdefaults__, cells)]
    elif kind.__module__.startswith("numpy") and hasattr(value, "tobytes"):
        parts += [value.dtype, value.shape, value.strides, value.tolist()]
    elif kind.__module__ != "__main__":
        parts += [" ".join(repr(value).split())]
    if kind.__module__ == "__main__":
        parts.append(_told(kind, known))
    if isinstance(getattr(value, "__dict__", None), dict) and (kind.__module__ == "__main__" or kind.__name__ == "function"):
        parts += [(name, _told(one, known)) for name, one in vars(value).items()]
    return "#%d %s%s" % (number, kind.__name__, parts)
"""


def probe(names: Iterable[str]) -> str:
    """Python that prints all about these names; one that is not bound is no error.

    Args:
        names: of the notebook's namespace.
    """
    lines = ["_found = {}"]
    for name in names:
        lines += [
            "try:",
            f"    _found[{name!r}] = {name}",
            "except NameError:",
            f"    _found[{name!r}] = 'unbound'",
        ]
    lines += [_SHAPE, "_known = {}", "for _name in _found:", "    print(_name, _told(_found[_name], _known))"]
    return "\n".join(lines)
