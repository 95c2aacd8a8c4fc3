"""Magics that a notebook kernel has and IPython alone has not."""

# mypy: disable-error-code="no-untyped-call,misc,unused-ignore"
from __future__ import annotations

import sys

from IPython.core import page
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.display import Javascript, display

NO_KERNEL = "a step has no kernel that others could connect to"


@magics_class
class KernelMagics(Magics):
    """They do what they do where a notebook runs unattended: pagers and editors do not open."""

    @line_magic
    def autosave(self, line: str) -> None:
        """Set the seconds between two times that the front end saves the notebook."""
        try:
            seconds = int(line)
        except ValueError:
            raise UsageError(f"%autosave requires an integer, got {line!r}") from None
        order = f"IPython.notebook.set_autosave_interval({1000 * seconds})"
        display(Javascript(order), include=["application/javascript"])
        sys.stdout.write(f"Autosaving every {seconds} seconds\n" if seconds else "Autosave disabled\n")

    @line_magic
    def clear(self, line: str) -> None:
        """Clear the terminal."""
        self.shell.system("clear")  # type: ignore[union-attr]

    @line_magic
    def less(self, line: str) -> None:
        """Show a file in the pager."""
        _in_pager(line)

    @line_magic
    def more(self, line: str) -> None:
        """Show a file in the pager."""
        _in_pager(line)

    @line_magic
    def man(self, line: str) -> None:
        """Show a manual page in the pager."""

    @line_magic
    def edit(self, line: str) -> None:
        """Open an editor."""

    @line_magic
    def connect_info(self, line: str) -> None:
        """Say how to connect to the kernel."""
        raise UsageError(NO_KERNEL)

    @line_magic
    def qtconsole(self, line: str) -> None:
        """Open a console that is connected to the kernel."""
        raise UsageError(NO_KERNEL)


def _in_pager(file_name: str) -> None:
    if not file_name:
        raise UsageError("Missing filename.")
    with open(file_name, encoding="utf-8") as file:
        page.page(file.read())
