"""Figures of earlier steps show as pictures: what a notebook's first plot makes in IPython is made when one is shown."""

from __future__ import annotations

import sys
from typing import Any

_MIMES = ("image/png", "image/jpeg", "image/svg+xml", "application/pdf")
_NAME = ("matplotlib.figure", "Figure")


def is_on(shell: Any) -> bool:
    """Whether figures show as pictures: something has been plotted, here or in an earlier step."""
    png = shell.display_formatter.formatters[_MIMES[0]]
    printers = [*png.deferred_printers.values(), *png.type_printers.values()]
    if any(isinstance(printer, _Printer) for printer in printers):
        return True
    module: Any = sys.modules.get("matplotlib_inline.backend_inline")
    return module is not None and module.flush_figures in shell.events.callbacks["post_execute"]


def expect(shell: Any) -> None:
    """Let figures show as pictures from now on; nothing is imported before one is shown."""
    if is_on(shell):
        return
    for mime in _MIMES:
        shell.display_formatter.formatters[mime].for_type_by_name(*_NAME, _Printer(shell, mime))


class _Printer:
    """Takes the place of what shows figures, until the first one is shown.

    Args:
        shell: IPython's.
        mime: the form asked for.
    """

    def __init__(self, shell: Any, mime: str) -> None:
        self._shell, self._mime = shell, mime

    def __call__(self, figure: Any) -> Any:
        from matplotlib_inline.backend_inline import configure_inline_support

        formatters = self._shell.display_formatter.formatters
        for mime in _MIMES:
            printers = formatters[mime].type_printers
            for kind in [kind for kind, printer in printers.items() if isinstance(printer, _Printer)]:
                del printers[kind]
            formatters[mime].deferred_printers.pop(_NAME, None)
        configure_inline_support(self._shell, "inline")  # type: ignore[no-untyped-call, unused-ignore]
        return formatters[self._mime](figure)
