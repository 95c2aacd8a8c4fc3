"""Turns what one step's process writes into events: the outputs of its cells and its result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from .jobs import (
    CellEnded,
    CellStarted,
    Died,
    Done,
    Ended,
    Event,
    Failed,
    Job,
    Output,
    Refused,
    Result,
    Revised,
    Surveyed,
    Waiting,
)
from .merge import Item, Text
from .outputs import UPDATE, Outputs

Frame = dict[str, Any]


class Listener:
    """Hears one step.

    Args:
        job: what the step was asked to do.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.result: Result | None = None
        self._position = 0  # the cell that runs or ran last
        self._running = False
        self._outputs: dict[int, Outputs] = {}
        self._counts = {cell.position: cell.count for cell in job.cells}
        self._displays: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self._afar: dict[str, tuple[int, dict[str, Any]]] = {}  # changes of displays that are not this step's
        self._traceback: tuple[str, ...] = ()

    def hear(self, item: Item) -> Iterator[Event]:
        """Take the next thing that the step wrote."""
        if not isinstance(item, Text):
            yield from getattr(self, "_" + item.header["kind"])(item.header, item.blobs)
        elif self._running:  # else it comes from something that the cell has left behind
            shown = self._outputs[self._position].text(item.stream, item.data)
            if shown is not None:
                yield self._output(shown)

    def died(
        self, signal: str | None, exit_code: int | None, message: str, detail: str = ""
    ) -> Iterator[Event]:
        """Hear that the process has ended without a result."""
        if self._running:
            yield from self._end(False, time.time())
        yield self._over(Died(signal, exit_code, message, detail))

    def _output(self, output: dict[str, Any]) -> Output:
        return Output(self.job.id, self._position, output)

    def _over(self, result: Result) -> Ended:
        self.result = result
        return Ended(self.job.id, result)

    def _end(self, ok: bool, at: float) -> Iterator[Event]:
        self._running = False
        position = self._position
        outputs = self._outputs[position].final()
        yield CellEnded(self.job.id, position, at, ok, self._counts[position], outputs)

    def _started(self, frame: Frame, blobs: list[bytes]) -> Iterator[Event]:
        self._position, self._running = frame["position"], True
        self._outputs[self._position] = Outputs(self.job.output_limit)
        self._traceback = ()
        yield CellStarted(self.job.id, self._position, frame["at"])

    def _ended(self, frame: Frame, blobs: list[bytes]) -> Iterator[Event]:
        yield from self._end(frame["ok"], frame["at"])

    def _display(self, frame: Frame, blobs: list[bytes]) -> Iterator[Event]:
        if frame["display_id"] in self._displays:
            yield from self._update(frame, blobs)
        output = {"output_type": "display_data", "data": frame["data"], "metadata": frame["metadata"]}
        shown = dict(output)
        if frame["display_id"] is not None:
            output["transient"] = {"display_id": frame["display_id"]}
        if self._add(output):
            if frame["display_id"] is not None:
                self._displays.setdefault(frame["display_id"], []).append((self._position, output))
            yield self._output(shown)

    def _update(self, frame: Frame, blobs: list[bytes]) -> Iterator[Event]:
        data, metadata, display = frame["data"], frame["metadata"], frame["display_id"]
        for position, output in self._displays.get(display, []):
            outputs = self._outputs[position]
            if (
                outputs.holds(output)
                and outputs.update(output, data, metadata)
                and position != self._position
            ):
                yield Revised(self.job.id, position, outputs.final())
        told = {
            "output_type": UPDATE,
            "data": data,
            "metadata": metadata,
            "transient": {"display_id": display},
        }
        if display not in self._displays:
            self._update_afar(display, told)
        yield self._output(dict(told))

    def _update_afar(self, display: str, update: dict[str, Any]) -> None:
        """The display may be one of an earlier step's: its last content is kept, for `displays.settled`."""
        position, known = self._afar.get(display, (0, update))
        if position and self._outputs[position].holds(known):
            self._outputs[position].update(known, update["data"], update["metadata"])
        elif self._add(update):
            self._afar[display] = self._position, update

    def _result(self, frame: Frame, blobs: list[bytes]) -> Iterator[Event]:
        output = {
            "output_type": "execute_result",
            "execution_count": frame["count"],
            "data": frame["data"],
            "metadata": frame["metadata"],
        }
        if self._add(output):
            yield self._output(dict(output))

    def _error(self, frame: Frame, blobs: list[bytes]) -> Iterator[Event]:
        output = {key: frame[key] for key in ("ename", "evalue", "traceback")}
        self._traceback = tuple(frame["traceback"])
        if self._add({"output_type": "error", **output}):
            yield self._output({"output_type": "error", **output})

    def _survey(self, frame: Frame, blobs: list[bytes]) -> Iterator[Event]:
        values = {name: (kind, digest, text) for name, (kind, digest, text) in frame["values"].items()}
        yield Surveyed(self.job.id, frame["position"], values, tuple(frame["gone"]), frame["shared"])

    def _dropped(self, frame: Frame, blobs: list[bytes]) -> Iterator[Event]:
        if self._position:
            self._outputs[self._position].drop(frame["size"])
        yield from ()

    def _clear(self, frame: Frame, blobs: list[bytes]) -> Iterator[Event]:
        if self._position:
            self._outputs[self._position].clear(frame["wait"])
            yield self._output({"output_type": "clear_output", "wait": frame["wait"]})

    def _add(self, output: dict[str, Any]) -> bool:
        return self._position in self._outputs and self._outputs[self._position].add(output)

    def _waiting(self, frame: Frame, blobs: list[bytes]) -> Iterator[Event]:
        yield Waiting(self.job.id, frame["what"])

    def _done(self, frame: Frame, blobs: list[bytes]) -> Iterator[Event]:
        yield self._over(_what_is_left(frame, blobs))

    def _failed(self, frame: Frame, blobs: list[bytes]) -> Iterator[Event]:
        yield self._over(
            Failed(
                position=frame["position"],
                ename=frame["ename"],
                evalue=frame["evalue"],
                traceback=self._traceback,
                line=frame["line"],
                files_read=tuple(frame["files"]["read"]),
                widgets=frame["widgets"],
            )
        )

    def _refused(self, frame: Frame, blobs: list[bytes]) -> Iterator[Event]:
        yield self._over(Refused(tuple(frame["state"]["refused"]), _what_is_left(frame, blobs)))

    def _broken(self, frame: Frame, blobs: list[bytes]) -> Iterator[Event]:
        yield from self.died(None, None, frame["message"], frame["traceback"])


def _what_is_left(frame: Frame, blobs: list[bytes]) -> Done:
    """What a step hands back."""
    state, files = frame["state"], frame["files"]
    return Done(
        names=state["names"],
        homes=state["homes"],
        artifacts=tuple(state["artifacts"]),
        blobs=tuple(blobs),
        seconds=frame["seconds"],
        files_read=tuple(files["read"]),
        files_written=tuple(files["written"]),
        widgets=frame["widgets"],
        told=state.get("told", {}),
        measures=state.get("measures", {}),
    )
