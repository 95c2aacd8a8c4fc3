"""nbvertex: a Jupyter notebook goes to production on Vertex AI without being rewritten."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def load_ipython_extension(shell: Any) -> None:
    """What ``%load_ext nbvertex`` calls."""
    from nbvertex.magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """What ``%unload_ext nbvertex`` calls."""
    from nbvertex.magics import unload

    unload(shell)
