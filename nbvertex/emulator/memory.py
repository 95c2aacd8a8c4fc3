"""Results of tasks that earlier runs have computed: small files, each named by what it stands for."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from nbvertex.emulator.tasks import Outputs


class Memory:
    """The cache of pipeline tasks.

    Args:
        folder: where the files lie; it is made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def recall(self, key: str) -> Outputs | None:
        """What the task with this key left, or None where none has ended well."""
        try:
            text = (self._folder / f"{key}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return Outputs.of(json.loads(text))

    def keep(self, key: str, outputs: Outputs) -> None:
        """Remember what a task left."""
        with tempfile.NamedTemporaryFile("w", dir=self._folder, delete=False, encoding="utf-8") as file:
            json.dump(outputs.json(), file)
        os.replace(file.name, self._folder / f"{key}.json")
