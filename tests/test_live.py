"""The progress of a run."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from nbvertex import live
from nbvertex.events import CellEnded, CellOutput, CellStarted, RunEnded, RunEvent, RunStarted, StepChanged


def changed(state: Any, step: str = "load", **more: Any) -> StepChanged:
    return StepChanged(**{"run": "r1", "step": step, "state": state, "at": 10.0, **more})


def said(text: str, **more: Any) -> CellOutput:
    output = {"output_type": "stream", "name": "stdout", "text": text, **more}
    return CellOutput(run="r1", step="load", position=3, output=output)


RUN: tuple[RunEvent, ...] = (
    RunStarted(run="r1", pipeline="nb", steps=("load", "train"), at=1.0),
    changed("running", at=5.0),
    CellStarted(run="r1", step="load", position=3, at=6.0),
    said("reading\nhalf way"),
    changed("done", seconds=1.234),
    changed("cached", step="train", source="r0"),
    RunEnded(run="r1", state="done", at=12.0),
)


def followed(view: Any, *events: RunEvent) -> None:
    for event in events:
        view(event)
    view.close()


@pytest.mark.parametrize(
    "event, line",
    [
        (changed("running"), "load: running"),
        (changed("done", seconds=1.234), "load: done in 1.23 s"),
        (changed("cached", source="r0", seconds=0.1), "load: cached, from run r0"),
        (changed("failed", seconds=2.0, error="nb, cell 3: no"), "load: failed after 2.00 s: nb, cell 3: no"),
        (changed("running", again="retry", attempt=2), "load: running again, attempt 2 (retry)"),
        (
            changed("running", again="stale", attempt=1),
            "load: running again, attempt 1 (what it had read changed)",
        ),
        (changed("skipped", step="a\x1b[2J\nb"), "a\\x1b[2J\\nb: skipped"),
    ],
)
def test_a_line_a_change(event: StepChanged, line: str) -> None:
    """What happened, in one line, whatever the names are."""
    stream = io.StringIO()
    followed(live.Lines(stream), event)
    assert stream.getvalue() == line + "\n"


def test_lines_with_outputs() -> None:
    """What cells print is shown where that is wanted, by line and step."""
    quiet, loud = io.StringIO(), io.StringIO()
    followed(live.Lines(quiet), *RUN)
    followed(live.Lines(loud, outputs=True), *RUN)
    assert quiet.getvalue().splitlines() == [
        "load: running",
        "load: done in 1.23 s",
        "train: cached, from run r0",
    ]
    assert loud.getvalue().splitlines()[1:3] == ["load | reading", "load | half way"]


def test_lines_that_come_in_pieces() -> None:
    """A line is shown once, when it is whole; what has not ended with its cell is shown then."""
    stream = io.StringIO()
    other = said("warning\n", name="stderr")
    end = CellEnded(run="r1", step="load", position=3, at=9.0, state="done")
    pieces = [said(text) for text in ("x is", " ", "6", "\n y", " 10%\r", " 20%\r", " 30%")]
    followed(live.Lines(stream, outputs=True), *pieces[:2], other, *pieces[2:], end)
    assert stream.getvalue().splitlines() == ["load | warning", "load | x is 6", "load |  30%"]


def test_json_lines() -> None:
    """One object a line for every event, in order."""
    stream = io.StringIO()
    followed(live.JsonLines(stream), *RUN)
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(row["event"], row["run"]) for row in rows] == [(event.event, "r1") for event in RUN]
    assert rows[4] == {
        "event": "step",
        "run": "r1",
        "step": "load",
        "state": "done",
        "at": 10.0,
        "attempt": 1,
        "seconds": 1.234,
    }


@pytest.mark.parametrize(
    "output, lines",
    [
        ({"text": "a\n\nb\n"}, ["a", "b"]),
        ({"text": ["a\n", "b"]}, ["a", "b"]),
        ({"text": " 10%\r 50%\r100%\n"}, ["100%"]),
        ({"text": "\x1b[31mred\x1b[0m \x1b]0;title\x07x\tz"}, ["red x   z"]),
        ({"text": "\x9b2Jx\u202e"}, ["\\x9b2Jx\\u202e"]),
        ({"data": {"text/plain": "42"}}, ["42"]),
        ({"data": {"text/plain": "<table>", "text/html": "<table>"}}, []),
        ({"data": {"image/png": "..."}}, []),
        ({"ename": "E", "traceback": []}, []),
    ],
)
def test_what_an_output_prints(output: dict[str, Any], lines: list[str]) -> None:
    """Its text by line, the last state of a progress bar, and nothing that steers a terminal."""
    assert list(live.printed(output)) == lines


class Gone(io.StringIO):
    """A pipe whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("make", [live.Lines, live.JsonLines])
def test_a_reader_that_leaves_does_not_stop_a_run(make: Any) -> None:
    """As with `nbvertex run --json | head -1`."""
    followed(make(Gone()), *RUN)


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_running_steps_are_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step, time, cell and last output while it runs; what has ended stays above."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Screen()
    view = live.Terminal(screen, clock=lambda: 17.0)
    for event in (*RUN[:4], said(" done"), said(",")):
        view(event)
    view._live.refresh()
    table = screen.getvalue()
    for event in RUN[4:]:
        view(event)
    view.close()
    assert "load" in table
    assert "12 s" in table
    assert "cell 3" in table
    assert "half way done," in table
    assert "0 of 2 steps" in table
    assert "load: done in 1.23 s" in screen.getvalue()
    assert "train: cached, from run r0" in screen.getvalue()


def test_many_running_steps_do_not_fill_the_terminal() -> None:
    """Those beyond the first are counted."""
    screen = Screen()
    view = live.Terminal(screen, clock=lambda: 17.0)
    view(RunStarted(run="r1", pipeline="nb", steps=tuple(f"s{i}" for i in range(40)), at=1.0))
    for i in range(40):
        view(changed("running", step=f"s{i}"))
    table, below = view._rows().renderables
    view.close()
    assert table.row_count == live.MOST_ROWS
    assert str(below) == "0 of 40 steps, 28 more running"
