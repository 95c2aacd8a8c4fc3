"""Container images as Python environments of this machine: the table that says which stands for which."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbvertex.errors import ConfigError


class Unmapped(Exception):
    """No environment stands for an image."""


@dataclass(frozen=True, slots=True)
class Image:
    """What stands for an image.

    Args:
        python: the interpreter of the environment.
        entrypoint: what runs where a container gives no command.
        env: variables that the image sets.
        folder: what its working folder holds; a copy of it is each attempt's folder.
    """

    python: str
    entrypoint: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None


class Images:
    """The table of images.

    Args:
        table: by image; a name may leave out tag and digest, and hold `*`.
        any_image: the interpreter for every image that is not in the table.
    """

    def __init__(self, table: Mapping[str, Image] | None = None, any_image: str | None = None) -> None:
        self._table = dict(table or {})
        self._any = any_image

    @classmethod
    def of(cls, said: Mapping[str, Any], any_image: str | None, folder: Path) -> Images:
        """The table as it stands in a file: by image an interpreter, or `python`, `entrypoint`, `env`, `folder`.

        Args:
            said: the table.
            any_image: the interpreter for every image that is not in it.
            folder: what relative paths start from.

        Raises:
            ConfigError: it is no such table.
        """
        return cls({name: _image(folder, name, one) for name, one in said.items()}, any_image or None)

    def find(self, uri: str) -> Image:
        """What stands for an image.

        Raises:
            Unmapped: nothing does.
        """
        for name in _names(uri):
            if name in self._table:
                return self._table[name]
        for pattern, image in self._table.items():
            if "*" in pattern and any(fnmatch.fnmatchcase(name, pattern) for name in _names(uri)):
                return image
        if self._any is not None:
            return Image(self._any)
        raise Unmapped(
            f"The image {uri!r} is not in the emulator's table of images. Add it there, "
            "or start the emulator with --any-image PYTHON."
        )


def _names(uri: str) -> tuple[str, ...]:
    """The image's name as it is, without its digest, without its tag."""
    bare = uri.partition("@")[0]
    head, slash, tail = bare.rpartition("/")
    return tuple(dict.fromkeys((uri, bare, f"{head}{slash}{tail.partition(':')[0]}")))


KEYS = {"python", "entrypoint", "env", "folder"}


def _image(folder: Path, name: str, said: Any) -> Image:
    if isinstance(said, str):
        said = {"python": said}
    if not isinstance(said, dict) or not isinstance(said.get("python"), str) or set(said) - KEYS:
        raise ConfigError(
            f"the table of images: {name!r} wants the path of an interpreter",
            hint=f"or a table with some of: {', '.join(sorted(KEYS))}",
        )
    return Image(
        os.path.abspath(folder / said["python"]),
        tuple(said.get("entrypoint", ())),
        {key: str(value) for key, value in said.get("env", {}).items()},
        os.path.abspath(folder / said["folder"]) if said.get("folder") else None,
    )
