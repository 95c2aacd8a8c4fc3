"""The names that every notebook has without binding them."""

from __future__ import annotations

import builtins

ANNOTATIONS = "__annotations__"  # where Python gathers what stands behind `x:`
SHELL = frozenset("In Out _ __ ___ _i _ii _iii _ih _oh _dh".split()) | {ANNOTATIONS}  # written as cells run
INJECTED = frozenset("display get_ipython exit quit open".split())
MODULE = frozenset("__name__ __doc__ __package__ __loader__ __spec__ __builtin__ __builtins__".split())
PYTHON = frozenset(dir(builtins)) - {"_"}
BUILTINS = PYTHON | INJECTED | MODULE


def given(name: str) -> bool:
    """Whether a notebook has the name without binding it."""
    return name in BUILTINS or name in SHELL or _numbered(name)


def shells(name: str) -> bool:
    """Whether IPython or Python itself binds the name as cells run: ``_``, ``Out``, ``_3``, ``_i3``, ``__annotations__``."""
    return name in SHELL or _numbered(name)


def _numbered(name: str) -> bool:
    return name[:1] == "_" and (name[1:].isdigit() or (name[1:2] == "i" and name[2:].isdigit()))
