"""The executed cells of one step: as a notebook, and as a page that needs nothing else."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .orders import Order

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PICTURES = ("image/png", "image/jpeg", "image/gif")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
pre { margin: 0; overflow-x: auto; font: 13px/1.45 ui-monospace, monospace; white-space: pre-wrap; }
.code { background: #f5f5f5; border-left: 3px solid #4a7ab5; padding: .6rem .8rem; margin-top: 1.2rem; }
.out { padding: .4rem .8rem; } .stderr { background: #fdf3e7; } .error { background: #fde8e8; }
.n { color: #666; font-size: 12px; } table { border-collapse: collapse; } td, th { padding: .2rem .6rem; }
"""


def plain(text: str) -> str:
    """The text without terminal colours."""
    return _COLOURS.sub("", text)


def notebook(
    order: Order, outputs: Mapping[int, Sequence[Mapping[str, Any]]], widgets: Mapping[str, Any]
) -> str:
    """The step's cells with their outputs as a notebook file."""
    cells = [
        {
            "cell_type": "code",
            "id": f"cell-{cell.position}",
            "execution_count": cell.count if cell.position in outputs else None,
            "metadata": {"nbvertex": {"step": order.step, "cell": cell.position}},
            "source": cell.source.splitlines(keepends=True),
            "outputs": list(outputs.get(cell.position, ())),
        }
        for cell in order.cells
    ]
    metadata: dict[str, Any] = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "nbvertex": {"notebook": order.notebook, "step": order.step},
    }
    if widgets:
        state = {"state": dict(widgets), "version_major": 2, "version_minor": 0}
        metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": state}
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, sort_keys=True) + "\n"


def page(order: Order, outputs: Mapping[int, Sequence[Mapping[str, Any]]]) -> str:
    """The step's cells with their outputs as HTML."""
    title = html.escape(f"{order.notebook}: step {order.step}")
    parts = [f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>']
    parts.append(f"<style>{_STYLE}</style>\n<h1>{title}</h1>")
    for cell in order.cells:
        count = cell.count if cell.position in outputs else " "
        parts.append(f'<div class="code"><div class="n">cell {cell.position} [{count}]</div>')
        parts.append(f"<pre>{html.escape(cell.source)}</pre></div>")
        parts += [_output(output) for output in outputs.get(cell.position, ())]
    return "\n".join(parts) + "\n</html>\n"


def _output(output: Mapping[str, Any]) -> str:
    kind = output["output_type"]
    if kind == "stream":
        return f'<div class="out {html.escape(output["name"])}">{_text(output["text"])}</div>'
    if kind == "error":
        trace = "\n".join(output["traceback"]) or f"{output['ename']}: {output['evalue']}"
        return f'<div class="out error">{_text(trace)}</div>'
    return f'<div class="out">{_shown(output.get("data", {}))}</div>'


def _shown(data: Mapping[str, Any]) -> str:
    for kind in _PICTURES:
        if kind in data:
            return f'<img alt="" src="data:{kind};base64,{_base64(data[kind])}">'
    if "image/svg+xml" in data:
        picture = base64.b64encode(data["image/svg+xml"].encode()).decode("ascii")
        return f'<img alt="" src="data:image/svg+xml;base64,{picture}">'
    if "text/html" in data:
        # a document of its own: what a cell shows must not change the page around it
        content = html.escape(str(data["text/html"]), quote=True)
        return f'<iframe sandbox="allow-scripts" style="width:100%;min-height:18rem;border:0" srcdoc="{content}"></iframe>'
    return _text(str(data.get("text/markdown", data.get("text/plain", ""))))


def _base64(data: Any) -> str:
    return re.sub(r"[^A-Za-z0-9+/=]", "", str(data))


def _text(text: str) -> str:
    return f"<pre>{html.escape(plain(text))}</pre>"
