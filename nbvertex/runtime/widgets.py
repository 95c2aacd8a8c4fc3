"""Widgets without a front end: their state is kept for the notebook, and output widgets take what is meant for them."""

from __future__ import annotations

import base64
from typing import Any

from . import streams
from .kernel import IPythonKernel

Output = dict[str, Any]
_OUTPUT_MODEL = ("@jupyter-widgets/output", "OutputModel")


class Capture:
    """What an output widget has taken.

    Args:
        comm: the widget's line to the front end that is not there.
    """

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self.cell = ""  # the cell whose output it takes, as it knows it
        self.outputs: list[Output] = []
        self.changed = False
        self._clear_next = False

    def take(self, output: Output) -> None:
        """Keep an output as a front end does."""
        if output["kind"] == "clear":
            self._clear(output["wait"])
            return
        if self._clear_next:
            self._clear(wait=False)
        self.changed = True
        last = self.outputs[-1] if self.outputs else {}
        if output["kind"] == "stream" == last.get("output_type") and last["name"] == output["name"]:
            last["text"] += output["text"]
        else:
            self.outputs.append(_stored(output))

    def _clear(self, wait: bool) -> None:
        self._clear_next = wait
        if not wait:
            self.outputs = []
            self.changed = True


class Widgets:
    """The widgets of a step's process.

    Args:
        kernel: knows which cell runs.
    """

    def __init__(self, kernel: IPythonKernel) -> None:
        self._kernel = kernel
        self._outlet: streams.Outlet | None = None
        self._states: dict[str, dict[str, Any]] = {}
        self._buffers: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {}
        self._captures: dict[str, Capture] = {}
        self._active: list[Capture] = []

    def install(self) -> None:
        """Take the place of a kernel in the package `comm`, where there is one."""
        try:
            import comm
            from comm.base_comm import BaseComm
        except ImportError:
            return
        heard = self._heard

        class Comm(BaseComm):
            __module__ = "ipykernel.comm.comm"

            def publish_msg(
                self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
            ) -> None:
                heard(self, msg_type, data or {}, buffers or [])

        comm.create_comm = Comm

    def connect(self, outlet: streams.Outlet) -> None:
        """Let outputs that no widget takes go there."""
        self._outlet = outlet

    def show(self, output: Output) -> None:
        """Show an output of a cell, or give it to the widget that takes it."""
        capture = self._taking()
        if capture is not None and output["kind"] != "update":
            capture.take(output)
        elif self._outlet is not None:
            self._outlet.show(output)

    def cell_ended(self) -> None:
        """Let output widgets know what they have taken, as a front end would by now."""
        for capture in list(self._captures.values()):
            if capture.changed:
                capture.changed = False
                state = {"outputs": [dict(output) for output in capture.outputs]}
                self._states[capture.comm.comm_id].update(state)
                data = {"method": "update", "state": state, "buffer_paths": []}
                capture.comm.handle_msg(
                    {"content": {"comm_id": capture.comm.comm_id, "data": data}, "buffers": []}
                )

    def state(self) -> dict[str, dict[str, Any]]:
        """The state of every widget as a notebook's metadata keeps it."""
        return {
            comm_id: self._stored(comm_id)
            for comm_id, state in self._states.items()
            if "_model_name" in state
        }

    def _stored(self, comm_id: str) -> dict[str, Any]:
        state = self._states[comm_id]
        stored = {
            "model_name": state.get("_model_name"),
            "model_module": state.get("_model_module"),
            "model_module_version": state.get("_model_module_version"),
            "state": state,
        }
        buffers = self._buffers.get(comm_id)
        return {**stored, "buffers": list(buffers.values())} if buffers else stored

    def _heard(self, comm: Any, kind: str, data: dict[str, Any], buffers: list[Any]) -> None:
        state = data.get("state")
        if state is None:
            return
        self._states.setdefault(comm.comm_id, {}).update(state)
        for path, buffer in zip(data.get("buffer_paths", ()), buffers, strict=False):
            encoded = base64.b64encode(buffer).decode("ascii")
            kept = {"data": encoded, "encoding": "base64", "path": list(path)}
            self._buffers.setdefault(comm.comm_id, {})[tuple(path)] = kept
        if kind == "comm_open" and (state.get("_model_module"), state.get("_model_name")) == _OUTPUT_MODEL:
            self._captures[comm.comm_id] = Capture(comm)
        capture = self._captures.get(comm.comm_id)
        if capture is not None and "msg_id" in state:
            self._turn(capture, state["msg_id"])

    def _turn(self, capture: Capture, cell: str) -> None:
        if capture in self._active:
            self._active.remove(capture)
        capture.cell = cell
        if cell:
            self._active.append(capture)
        if self._outlet is not None:
            self._outlet.divert = self._divert if self._active else None

    def _taking(self) -> Capture | None:
        taking = [capture for capture in self._active if capture.cell == self._kernel.cell]
        return taking[-1] if taking else None

    def _divert(self, name: str, text: str) -> bool:
        capture = self._taking()
        if capture is None:
            return False
        capture.take({"kind": "stream", "name": name, "text": text})
        return True


def _stored(output: Output) -> Output:
    """A frame's output as a notebook stores it."""
    kind = output["kind"]
    if kind == "stream":
        return {"output_type": "stream", "name": output["name"], "text": output["text"]}
    if kind == "error":
        return {"output_type": "error", **{key: output[key] for key in ("ename", "evalue", "traceback")}}
    data = {"data": output["data"], "metadata": output["metadata"]}
    if kind == "result":
        return {"output_type": "execute_result", "execution_count": output["count"], **data}
    return {"output_type": "display_data", **data}
