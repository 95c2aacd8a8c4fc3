"""Small notebooks for tests, written as data.

    path = write(tmp_path / "nb.ipynb", [cell("n = 1", "parameters"), "# a heading", cell("print(n)", "step:show")])

A bare string is a markdown cell. Plain JSON, not nbformat: what a test means is all there is in the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def cell(source: str, *tags: str, **metadata: Any) -> dict[str, Any]:
    """A code cell with these tags."""
    if tags:
        metadata["tags"] = list(tags)
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": metadata,
        "outputs": [],
        "source": source,
    }


def markdown(source: str) -> dict[str, Any]:
    """A markdown cell."""
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def document(cells: Sequence[str | Mapping[str, Any]], **metadata: Any) -> dict[str, Any]:
    """A notebook of nbformat 4.5 as its JSON; cells get the ids c1, c2, ... where they bring none."""
    made = [markdown(c) if isinstance(c, str) else dict(c) for c in cells]
    return {
        "cells": [{"id": f"c{number}", **c} for number, c in enumerate(made, 1)],
        "metadata": {"kernelspec": KERNEL, "language_info": {"name": "python"}, **metadata},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def write(path: Path, cells: Sequence[str | Mapping[str, Any]], **metadata: Any) -> Path:
    """Write a notebook of those cells; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(document(cells, **metadata), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    return path
