"""The progress of a run while it goes on: a table on a terminal, a line a change without one, or JSON lines."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from nbvertex.errors import visible
from nbvertex.events import (
    CellEnded,
    CellOutput,
    CellStarted,
    RunEnded,
    RunEvent,
    RunStarted,
    StepChanged,
    as_json,
    whose,
)

if TYPE_CHECKING:
    from rich.console import Group

ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|.)")
MOST_ROWS = 12  # running steps that a terminal shows
STYLES = {"done": "green", "cached": "cyan", "failed": "bold red", "skipped": "dim", "running": "default"}


class View(Protocol):
    """Something that follows a run and is closed when the run has ended."""

    def __call__(self, event: RunEvent, /) -> None: ...
    def close(self) -> None: ...


class Nothing:
    """Shows nothing."""

    def __call__(self, event: RunEvent) -> None:
        """Nobody wants to know."""

    def close(self) -> None:
        """There is nothing to take away."""


class JsonLines:
    """One JSON object a line for every event."""

    def __init__(self, stream: TextIO) -> None:
        self._say = _whole_lines(stream)

    def __call__(self, event: RunEvent) -> None:
        self.say(as_json(event))

    def say(self, row: Mapping[str, Any]) -> None:
        """Print something that is no event of the run."""
        self._say(json.dumps(row, default=str))

    def close(self) -> None:
        """Nothing is held back."""


class Lines:
    """One line a change, for logs.

    Args:
        stream: where they go.
        outputs: show what the cells print as well.
    """

    def __init__(self, stream: TextIO, *, outputs: bool = False) -> None:
        self._say = _whole_lines(stream)
        self._pieces = _Pieces() if outputs else None

    def __call__(self, event: RunEvent) -> None:
        if self._pieces is not None:
            for line in self._pieces.lines(event):
                self._say(line)
        if isinstance(event, StepChanged):
            self._say(change(event))

    def close(self) -> None:
        """Nothing is held back."""


class _Pieces:
    """Puts the lines that steps print together from the pieces in which they come."""

    def __init__(self) -> None:
        self._begun: dict[str, dict[str, str]] = {}  # step -> stream -> a line that has not ended
        self.last: dict[str, str] = {}  # step -> what it printed last, whole or not

    def lines(self, event: RunEvent) -> list[str]:
        """The lines that are whole now, with the step they are from."""
        if isinstance(event, CellOutput):
            found = self._whole(event) if "text" in event.output else list(printed(event.output))
            self.last.update((whose(event), line) for line in found)
            for text in self._begun.get(whose(event), {}).values():
                self.last.update((whose(event), line) for line in printed({"text": text}))
        elif isinstance(event, CellEnded | StepChanged):
            begun = self._begun.pop(whose(event), {})
            found = [line for text in begun.values() for line in printed({"text": text})]
        else:
            return []
        return [f"{visible(whose(event), keep='')} | {line}" for line in found]

    def _whole(self, event: CellOutput) -> list[str]:
        begun = self._begun.setdefault(whose(event), {})
        stream = str(event.output.get("name"))
        whole, _, rest = f"{begun.get(stream, '')}{event.output['text']}".rpartition("\n")
        begun[stream] = rest[max(rest.rfind("\r"), 0) :]  # of a progress bar only its last state
        return list(printed({"text": whole}))


@dataclass
class _Running:
    """A step that is running now, as a row."""

    since: float
    attempt: int
    cell: int = 0
    said: str = ""


class Terminal:
    """The steps that are running as a table at the bottom; what has ended stays above it.

    Args:
        stream: the terminal.
        outputs: show what the cells print as well.
        clock: gives seconds since the epoch.
    """

    def __init__(
        self, stream: TextIO, *, outputs: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        self._clock = clock
        self._outputs = outputs
        self._pieces = _Pieces()
        self._running: dict[str, _Running] = {}
        self._steps = 0
        self._ended: set[str] = set()
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._live = Live(console=self._console, get_renderable=self._rows, refresh_per_second=8, transient=True,
                          redirect_stdout=False, redirect_stderr=False)  # fmt: skip
        self._live.start()

    def __call__(self, event: RunEvent) -> None:
        for line in self._pieces.lines(event):
            if self._outputs:
                self._console.print(line, soft_wrap=True)
        if isinstance(event, RunStarted):
            self._steps = len(event.steps)
        elif isinstance(event, RunEnded):
            self._running.clear()
        elif isinstance(event, StepChanged):
            self._changed(event)
        elif isinstance(event, CellStarted) and whose(event) in self._running:
            self._running[whose(event)].cell = event.position
        elif isinstance(event, CellOutput) and whose(event) in self._running:
            self._running[whose(event)].said = self._pieces.last.get(whose(event), "")

    def close(self) -> None:
        """Take the table away; what has ended stays."""
        self._running.clear()
        self._live.stop()

    def _changed(self, event: StepChanged) -> None:
        from rich.text import Text

        if event.state == "running":
            self._ended.discard(event.step)
            self._running.pop(event.step, None)  # its rounds stand for it
            self._running[whose(event)] = _Running(event.at, event.attempt)
            return
        self._running.pop(whose(event), None)
        if event.state != "queued":
            if event.round is None:
                self._ended.add(event.step)
            self._console.print(Text(change(event), STYLES.get(event.state, "default")), soft_wrap=True)

    def _rows(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        if not self._running:
            return Group()
        table = Table.grid(padding=(0, 2))
        for _ in range(4):
            table.add_column(no_wrap=True, overflow="ellipsis")
        now = self._clock()
        for name, row in list(self._running.items())[:MOST_ROWS]:
            where = f"cell {row.cell}" if row.cell else "starting"
            where += f", attempt {row.attempt}" if row.attempt > 1 else ""
            spent = f"{max(now - row.since, 0):.0f} s"
            table.add_row(Text(visible(name), "bold"), spent, Text(where, "dim"), Text(row.said, "dim"))
        more = len(self._running) - MOST_ROWS
        also = f", {more} more running" if more > 0 else ""
        return Group(table, Text(f"{len(self._ended)} of {self._steps} steps{also}", "dim"))


def change(event: StepChanged) -> str:
    """The line that tells that a step is in another state."""
    said: str = event.state
    if event.state == "running" and event.again:
        reason = {"stale": "what it had read changed"}.get(event.again, event.again)
        said = f"running again, attempt {event.attempt} ({reason})"
    elif event.state == "cached" and event.source:
        said = f"cached, from run {event.source}"
    elif event.seconds is not None:
        said = f"{event.state} {'after' if event.state == 'failed' else 'in'} {event.seconds:.2f} s"
    reason = f": {event.error or event.why}" if event.error or event.why else ""
    item = f" {event.item}" if event.item else ""
    return visible(f"{whose(event)}{item}: {said}{reason}", keep="")


def printed(output: Mapping[str, Any]) -> Iterator[str]:
    """The lines of text in an output, without what would steer a terminal."""
    data = output.get("data", {})
    text = output.get("text", data.get("text/plain", "") if "text/html" not in data else "")
    for line in ("".join(text) if isinstance(text, list) else str(text)).split("\n"):
        clean = ESCAPES.sub("", line.rstrip("\r").rpartition("\r")[2]).expandtabs()
        if clean.strip():
            yield visible(clean)


def _whole_lines(stream: TextIO) -> Callable[[str], None]:
    """Prints lines at once; falls silent when nobody reads any more, for the run goes on."""
    gone = False

    def say(line: str) -> None:
        nonlocal gone
        if gone:
            return
        try:
            stream.write(line + "\n")
            stream.flush()
        except BrokenPipeError:
            gone = True

    return say
