"""How long an emulator serves: until it is told to end, or until nobody holds it any more."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from nbvertex.emulator.hosting import SHARED, locked
from nbvertex.emulator.server import Server
from nbvertex.emulator.world import Settings
from nbvertex.errors import Refused

NEEDED = {
    "google.cloud.aiplatform_v1": "google-cloud-aiplatform",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "cryptography": "cryptography",
}
"""What an emulator cannot serve without: modules, and the packages that bring them."""


def serve(said: Mapping[str, Any], ready: Callable[[Server], None], holder: TextIO | None = None) -> None:
    """Serve until SIGTERM or SIGINT; one that is held also ends with its last holder.

    Args:
        said: the settings, as `hosting.Wanted.settings` gives them.
        ready: called once all doors are open.
        holder: the stdin that whoever started it holds.

    Raises:
        Refused: another emulator has the folder, or the port is taken.
    """
    check_installed()
    settings = Settings(**{**said, "folder": Path(said["folder"]), "cache": Path(said["cache"])})
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with locked(settings.folder):
        try:
            server = Server(settings)
            server.start()
        except OSError as error:
            raise Refused(
                f"the emulator cannot start: {error.strerror or error}",
                hint="--port 0 takes a free port" if settings.port else None,
                code="emulator",
            ) from error
        running = settings.folder / "running.json"
        draft = running.with_suffix(".new")
        draft.write_text(json.dumps({"url": server.world.url, "pid": os.getpid()}), encoding="utf-8")
        os.replace(draft, running)
        if settings.leased and holder is not None:
            release = server.leases.taken(ended.set)
            threading.Thread(target=_until_closed, args=(holder, release, server), daemon=True).start()
        ready(server)
        ended.wait()
        running.unlink(missing_ok=True)
        server.close()


def check_installed() -> None:
    """Refuse to serve without what serving takes.

    Raises:
        Refused: something is not installed.
    """
    missing = [name for module, name in NEEDED.items() if not _installed(module)]
    if missing:
        raise Refused(
            f"the emulator needs {', '.join(missing)}, which {sys.executable} does not have",
            hint="pip install 'nbvertex[vertex]'",
            code="not-installed",
        )


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package round it is there
        return False


def _until_closed(holder: TextIO, release: Callable[[], None], server: Server) -> None:
    """Let go when the one that has started the emulator does, and tell it whether others hold it still."""
    while holder.readline():
        pass
    release()
    if not server.leases.ended:
        sys.stdout.write(f"{SHARED}\n")
        sys.stdout.flush()


def tell(server: Server) -> None:
    """Say on stdout how the emulator is reached, for the program that has started it."""
    world = server.world
    sys.stdout.write(
        json.dumps({"url": world.url, "environment": world.environment(world.settings.account)}) + "\n"
    )
    sys.stdout.flush()
