"""All that the emulator consists of, made once and given to every service."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbvertex.emulator.background import Background
from nbvertex.emulator.buckets import Buckets
from nbvertex.emulator.calls import Table
from nbvertex.emulator.certificates import Certificates
from nbvertex.emulator.clock import Clock
from nbvertex.emulator.crud import Crud
from nbvertex.emulator.environment import Reached, of_program
from nbvertex.emulator.faults import Faults
from nbvertex.emulator.identities import Identities
from nbvertex.emulator.logs import Logs
from nbvertex.emulator.operations import Operations
from nbvertex.emulator.schema import Schema
from nbvertex.emulator.store import Store


@dataclass(frozen=True)
class Settings:
    """What the emulator was started with.

    Args:
        folder: where its state lies.
        cache: where what clients say is kept.
        port: of the loopback; 0: a free one, the same again after a restart.
        project: the project that clients get from their environment.
        bucket: a bucket that is made at start; "": none.
        cwd: the folder of commands given by absolute path.
        images: image -> how it is run here (the table of images), as JSON.
        any_image: the interpreter for images that the table does not have; "": they fail.
        leased: it ends when the last program that holds it has ended.
    """

    folder: Path
    cache: Path
    port: int = 0
    project: str = "emulator"
    bucket: str = ""
    cwd: str = field(default_factory=os.getcwd)
    images: Mapping[str, Any] = field(default_factory=dict)
    any_image: str = ""
    leased: bool = False

    @property
    def account(self) -> str:
        """The service account of whoever works with the emulator."""
        return f"developer@{self.project}.iam.gserviceaccount.com"


class World:
    """The emulator without its doors.

    Args:
        settings: what it was started with.
    """

    def __init__(self, settings: Settings) -> None:
        settings.folder.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.schema = Schema(settings.cache, sys.executable)
        self.store = Store(settings.folder / "state.db", self.schema)
        self.clock = Clock(self.store)
        self.table = Table()
        self.operations = Operations(self.schema, self.store, self.clock)
        self.crud = Crud(self.schema, self.store, self.clock, self.operations)
        self.faults = Faults(self.clock.now)
        self.identities = Identities(settings.folder / "keys", self.store)
        self.logs = Logs(self.schema, self.store, self.clock)
        self.buckets = Buckets(
            settings.folder / "buckets", settings.folder / "uploads", self.store, self.clock
        )
        self.background = Background(self.clock)
        self.certificates = Certificates(settings.folder / "tls")
        self.open_door: Callable[[str], int] = _closed
        """Gives the port at which a caller without a token is taken for that service account."""

    @property
    def url(self) -> str:
        """Where the emulator itself is reached."""
        return f"http://127.0.0.1:{self.open_door(self.settings.account)}"

    def environment(self, identity: str, *, project: str | None = None) -> dict[str, str]:
        """What a program must have in its environment to reach the emulator.

        Args:
            identity: the service account as which it calls.
            project: the project that it works in; None: that of the settings.
        """
        own = identity == self.settings.account
        return of_program(
            Reached(
                port=self.open_door(identity),
                control=self.url,
                authority=self.certificates.authority,
                project=project or self.settings.project,
                key=self.identities.key_file(identity, self.settings.project, f"{self.url}/token")
                if own
                else None,
                config=self.settings.folder / "gcloud",
            )
        )

    def path(self, uri: str) -> Path:
        """The plain file or folder behind ``gs://BUCKET/NAME`` or ``/gcs/BUCKET/NAME``."""
        name = uri.removeprefix("gs://") if uri.startswith("gs://") else uri.removeprefix("/gcs/")
        return self.buckets.folder / name


def _closed(identity: str) -> int:
    raise RuntimeError(f"no door is open for {identity}")
