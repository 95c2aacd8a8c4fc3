"""The outputs of a cell as a notebook stores them, within a limit."""

from __future__ import annotations

import codecs
import json
from typing import Any

Output = dict[str, Any]
UPDATE = "update_display_data"  # of a display that an earlier step shows: no output of this cell
_OVERHEAD = 300  # bytes that an output takes beside its data


class Outputs:
    """Collects the outputs of one cell in the way a notebook's front end does.

    Args:
        limit: bytes kept; what comes beyond is counted, and one line says so where the cut is.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._list: list[Output] = []
        self._reset()
        self._clear_next = False
        self._decoders = {
            name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")
        }

    def _reset(self) -> None:
        self._list = [output for output in self._list if output["output_type"] == UPDATE]
        self._size = sum(map(_size, self._list))
        self._dropped = 0
        self._notice: Output | None = None

    def text(self, stream: str, data: bytes) -> Output | None:
        """Add bytes written to a stream; gives the output to show now, if any."""
        self._before_next()
        if self._notice is not None:
            self._dropped += len(data)
            return None
        last = self._list[-1] if self._list else None
        if last is None or last["output_type"] != "stream" or last["name"] != stream:
            last = {"output_type": "stream", "name": stream, "text": []}
            self._list.append(last)
            self._size += _OVERHEAD
        kept = data[: max(0, self._limit - self._size)]
        self._size += len(kept)
        text = self._decoders[stream].decode(kept)
        last["text"].append(text)
        if len(kept) < len(data):
            self.drop(len(data) - len(kept))
        return {"output_type": "stream", "name": stream, "text": text} if text else None

    def add(self, output: Output) -> bool:
        """Add an output of another kind; False where there is no room for it."""
        self._before_next()
        size = _size(output)
        if output["output_type"] != "error" and (self._notice is not None or self._size + size > self._limit):
            self.drop(size)
            return False
        self._size += size
        self._list.append(output)
        return True

    def update(self, output: Output, data: dict[str, Any], metadata: dict[str, Any]) -> bool:
        """Give an output that was added before another content; False where there is no room for it."""
        size = self._size - _size(output) + _size({"data": data, "metadata": metadata})
        if size > self._limit:
            self.drop(_size({"data": data}))
            return False
        self._size = size
        output.update(data=data, metadata=metadata)
        return True

    def clear(self, wait: bool) -> None:
        """Forget the outputs, now or when the next one comes."""
        if wait:
            self._clear_next = True
        else:
            self._reset()

    def _before_next(self) -> None:
        if self._clear_next:
            self._clear_next = False
            self._reset()

    def drop(self, size: int) -> None:
        """Count what there was no room for."""
        if self._notice is None:
            self._notice = {"output_type": "stream", "name": "stderr", "text": []}
            self._list.append(self._notice)
        self._dropped += size

    def holds(self, output: Output) -> bool:
        """This very output is still there."""
        return any(one is output for one in self._list)

    def final(self) -> tuple[Output, ...]:
        """The outputs as nbformat wants them."""
        if self._notice is not None:
            cut = f"{self._dropped:,} bytes of output were dropped here; a cell keeps {self._limit:,} bytes"
            self._notice["text"] = [f"\n[nbvertex: {cut}]\n"]
        joined = (
            {**output, "text": "".join(output["text"])} if output["output_type"] == "stream" else output
            for output in self._list
        )
        return tuple(output for output in joined if output.get("text") != "")


def _size(output: Output) -> int:
    return _OVERHEAD + sum(
        len(value) if isinstance(value, str) else len(json.dumps(value))
        for value in output.get("data", {}).values()
    )
