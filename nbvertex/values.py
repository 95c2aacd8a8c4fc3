"""What a step's names hold, brought into this process: read when it is asked for, and only as far as needed."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

from nbvertex.runtime import container, definitions, formats, kinds, pickler
from nbvertex.runtime.jobs import Done

THERE, HERE = "nbvertex_runtime", "nbvertex.runtime"  # what the runtime is called in a step, and here


class Values(Mapping[str, Any]):
    """The values of a step by name. What shares an object in the step shares it here.

    Args:
        done: what the step handed back.
    """

    def __init__(self, done: Done) -> None:
        self._done = done
        self._entries = {
            name: entry
            for name, entry in done.names.items()
            if entry is not None and not name.startswith("@") and entry in done.homes
        }
        self._records = {entry: record for record in done.artifacts for entry in record["entries"]}
        self._objects: dict[str, Any] = {}
        self._namespace: dict[str, Any] = {"__name__": "__main__"}  # what functions of the notebook see

    def __getitem__(self, name: str) -> Any:
        entry = self._entries[name]
        definitions.use(self._namespace)
        kinds.resolver = self._object
        value = self._object(entry)
        definitions.reunite(self._object)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _object(self, entry: str) -> Any:
        if entry not in self._objects:
            record = self._records[entry]
            for held, value in zip(record["entries"], self._read(record), strict=True):
                self._objects[held] = value
            for name in record.get("free", ()):
                if name in self._entries and name not in self._namespace:
                    self._namespace[name] = None  # it may be read on the way to itself
                    self._namespace[name] = self._object(self._entries[name])
        return self._objects[entry]

    def _read(self, record: Mapping[str, Any]) -> list[Any]:
        if "path" in record:
            opened = container.read_file(record["path"], record["digest"])
        else:
            opened = container.read_bytes(self._done.blobs[record["blob"]], record["digest"])
        if opened.kind != "pickle":
            return formats.read(opened)
        return list(_Reader(io.BytesIO(opened.stream), opened.buffers).load())


class _Reader(pickler.HeapUnpickler):
    """Reads what a step's process wrote."""

    def find_class(self, module: str, name: str) -> Any:
        """The runtime goes by another name there."""
        if module.partition(".")[0] == THERE:
            module = HERE + module.removeprefix(THERE)
        return super().find_class(module, name)
