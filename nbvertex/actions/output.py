"""The output notebook of a run that goes on: written now and then, and when the run has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbvertex import __version__, output_file, report
from nbvertex.actions.reading import Opened
from nbvertex.errors import StoreError
from nbvertex.events import RunEvent, RunResult, RunStarted
from nbvertex.home import Home, writing
from nbvertex.pipeline import Json

AT_LEAST = 2.0  # seconds between two partial notebooks
SHARE = 0.05  # of the time goes into partial notebooks at most


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run did.

    Args:
        result: what every cell did, and the error to tell of a run that did not end well.
        output: where the output notebook is; None where it is for stdout, or could not be written.
        notebook: the output notebook.
        trouble: why it could not be written, or the store not be kept within its limit.
        warning: what else did not go well, and does not count.
    """

    result: RunResult
    output: Path | None
    notebook: Mapping[str, Any]
    trouble: StoreError | None = None
    warning: str | None = None


class Copy:
    """The output notebook of a run that goes on: written now and then, and when the run has ended.

    Args:
        opened: the notebook; its old outputs are let go.
        home: where a run's folder is.
        values: the parameters that were given.
        out: where it goes; None: into the run's folder.
        to_stdout: nowhere.
        clock: seconds, from anywhere.
    """

    def __init__(
        self,
        opened: Opened,
        home: Home,
        values: Mapping[str, Json],
        out: Path | None,
        *,
        to_stdout: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._raw, self._pipeline = opened.notebook.raw(), opened.pipeline
        for cell in self._raw["cells"]:
            cell.pop("outputs", None)
        self._home, self._out, self._to_stdout = home, out, to_stdout
        self._follower = report.Follower(values)
        self._due = clock() + AT_LEAST

    def __call__(self, event: RunEvent) -> None:
        self._follower(event)
        if isinstance(event, RunStarted) and not self._to_stdout:
            self._out = self._out or self._home.runs / event.run / f"{self._pipeline.name}.ipynb"
            self._remember(event.run, self._out)
        elif self._out is not None and self._clock() >= self._due and not output_file.special(self._out):
            self._write_so_far(self._out)

    def _write_so_far(self, out: Path) -> None:
        began = self._clock()
        try:
            self._write(out, self._compose(self._follower.result()))
        except StoreError:
            pass  # the last one will say so, and the run must not stop for it
        self._due = self._clock() + max(AT_LEAST, (self._clock() - began) / SHARE)

    def finish(self, result: RunResult) -> Ran:
        """Write the notebook of the whole run."""
        notebook = self._compose(result)
        if self._out is None:
            return Ran(result, None, notebook)
        try:
            self._write(self._out, notebook)
        except StoreError as error:
            return Ran(result, None, notebook, trouble=error)
        return Ran(result, self._out, notebook)

    def _compose(self, result: RunResult) -> dict[str, Any]:
        return report.compose(self._raw, self._pipeline, result, __version__)

    def _write(self, out: Path, notebook: Mapping[str, Any]) -> None:
        if out.is_relative_to(self._home.runs):
            with writing(out.parent):
                out.parent.mkdir(parents=True, exist_ok=True)
        output_file.write(out, notebook)

    def _remember(self, run: str, out: Path) -> None:
        """Whoever resumes the run finds it there."""
        from nbvertex.database import Database
        from nbvertex.lineage import Lineage

        database = Database(self._home.database)
        try:
            Lineage(database).describe(run, output=str(out.absolute()))
        finally:
            database.close()
