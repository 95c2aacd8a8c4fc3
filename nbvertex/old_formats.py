"""Notebooks of nbformat 1 to 3 as nbformat 4, in plain JSON."""

from __future__ import annotations

import json
from typing import Any

_MIMES = {
    "text": "text/plain", "html": "text/html", "svg": "image/svg+xml", "png": "image/png", "jpeg": "image/jpeg",
    "latex": "text/latex", "json": "application/json", "javascript": "application/javascript",
}  # fmt: skip
_KINDS = {"heading": "markdown", "html": "markdown", "text": "markdown", "plaintext": "raw"}


class Malformed(Exception):
    """The file is no notebook."""


def upgraded(old: dict[str, Any]) -> dict[str, Any]:
    """The notebook as nbformat 4.4; worksheets become one list of cells.

    What is malformed inside a cell stays as it is, for whoever reads the cells to name; outputs that are none are
    left out.

    Raises:
        Malformed: it has no worksheets with cells; the message says so.
    """
    sheets = [old] if old.get("nbformat") == 1 and "cells" in old else old.get("worksheets")
    if not isinstance(sheets, list):
        raise Malformed("it has no `worksheets`")
    cells: list[Any] = []
    for sheet in sheets:
        inside = sheet.get("cells", []) if isinstance(sheet, dict) else None
        if not isinstance(inside, list):
            raise Malformed("a worksheet holds no list of cells")
        cells += inside
    metadata = old["metadata"] if isinstance(old.get("metadata"), dict) else {}
    return {
        "cells": [_cell(cell) if isinstance(cell, dict) else cell for cell in cells],
        "metadata": {key: value for key, value in metadata.items() if key not in ("name", "signature")},
        "nbformat": 4,
        "nbformat_minor": 4,
    }


def _cell(old: dict[str, Any]) -> dict[str, Any]:
    kind = old.get("cell_type")
    metadata = dict(old["metadata"]) if isinstance(old.get("metadata"), dict) else {}
    if kind == "code":
        if "collapsed" in old:
            metadata["collapsed"] = old["collapsed"]
        outputs = old["outputs"] if isinstance(old.get("outputs"), list) else []
        return {
            "cell_type": "code",
            "execution_count": old.get("prompt_number"),
            "metadata": metadata,
            "outputs": [_output(output) for output in outputs if _is_output(output)],
            "source": _joined(old.get("input", old.get("code", ""))),
        }
    source = _joined(old.get("source", old.get("text", "")))
    if kind == "heading":
        source = f"{'#' * _level(old.get('level'))} {_one_line(source)}"
    return {
        "cell_type": _KINDS.get(kind, kind) if isinstance(kind, str) else kind,
        "metadata": metadata,
        "source": source,
    }


def _level(value: object) -> int:
    return min(max(value, 1), 6) if isinstance(value, int) else 1


def _one_line(source: object) -> str:
    return " ".join(str(source).splitlines())


def _joined(text: Any) -> Any:
    """Lines as one text: nbformat 2 kept them without their ends. What is malformed stays as it is."""
    if not (isinstance(text, list) and all(isinstance(line, str) for line in text)):
        return text
    return ("" if text and text[0].endswith(("\n", "\r")) else "\n").join(text)


def _is_output(output: object) -> bool:
    return isinstance(output, dict) and isinstance(output.get("output_type"), str)


def _output(old: dict[str, Any]) -> dict[str, Any]:
    kind = old["output_type"]
    if kind == "stream":
        return {
            "output_type": "stream",
            "name": old.get("stream", "stdout"),
            "text": _joined(old.get("text", "")),
        }
    if kind == "pyerr":
        return {**old, "output_type": "error"}
    if kind not in ("pyout", "display_data"):
        return old
    new = {key: value for key, value in old.items() if key in ("metadata", "output_type")}
    new["metadata"] = _by_mime(new["metadata"]) if isinstance(new.get("metadata"), dict) else {}
    new["data"] = _by_mime(
        {k: v for k, v in old.items() if k not in ("metadata", "output_type", "prompt_number")}
    )
    written = new["data"].get("application/json")
    if isinstance(written, str):
        new["data"]["application/json"] = _unwritten(written)
    if kind == "pyout":
        new |= {"output_type": "execute_result", "execution_count": old.get("prompt_number")}
    return new


def _by_mime(data: dict[str, Any]) -> dict[str, Any]:
    return {_MIMES.get(key, key): _joined(value) for key, value in data.items()}


def _unwritten(text: str) -> Any:
    """JSON was kept as a text; one that cannot be read stays the text it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
