"""Watches what a step does to the world outside it."""

from __future__ import annotations

from typing import Any


def files() -> dict[str, Any]:
    """The files that this process has opened so far."""
    return {"read": [], "written": []}
