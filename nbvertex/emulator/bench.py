"""A running emulator as a test sees it: its clock, faults, tokens, the calls that were made, the files of objects."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from nbvertex.emulator import hosting
from nbvertex.errors import UsageError


@dataclass(frozen=True, slots=True)
class Bench:
    """An emulator to test against.

    Args:
        url: its address.
        folder: where its state lies.
        project: the project that programs get from their environment.
        bucket: a bucket that is there.
        environment: what a program must have in its environment to reach it.
    """

    url: str
    folder: Path
    project: str
    bucket: str
    environment: Mapping[str, str]

    def advance(self, seconds: float) -> None:
        """Move the emulator's clock forward."""
        self._ask("POST", "/clock/advance", seconds=seconds)

    def fault(self, **said: Any) -> int:
        """Let something go wrong, e.g. `fault(method="JobService.Create*", status="UNAVAILABLE", count=1)`.

        Args:
            said: as `docs/emulator.md` has it.

        Returns:
            its number.

        Raises:
            UsageError: the emulator does not understand it.
        """
        number: int = self._ask("POST", "/faults", json.dumps(said))["id"]
        return number

    def mend(self) -> None:
        """Let nothing go wrong any more."""
        self._ask("DELETE", "/faults")

    def expire_tokens(self) -> None:
        """Let every token that was given so far be expired."""
        self._ask("POST", "/tokens/expire")

    def calls(self, method: str | None = None) -> list[dict[str, Any]]:
        """The calls that were made, oldest first: `method`, `identity`, `transport`, `name`, `status`, `time`.

        Args:
            method: only these, e.g. ``JobService.CreateCustomJob``; None: all.
        """
        made: list[dict[str, Any]] = self._ask("GET", "/calls")
        return [call for call in made if method in (None, call["method"])]

    def forget_calls(self) -> None:
        """Forget them."""
        self._ask("DELETE", "/calls")

    def file(self, uri: str) -> Path:
        """The plain file behind an object, e.g. ``gs://BUCKET/NAME``."""
        return self.folder / "buckets" / uri.removeprefix("gs://")

    def _ask(self, verb: str, path: str, body: str = "", **query: object) -> Any:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        with contextlib.closing(connection):
            connection.request(verb, f"{path}?{urlencode(query)}" if query else path, body)
            reply = connection.getresponse()
            said = json.loads(reply.read())
        if reply.status != 200:
            raise UsageError(said["error"]["message"])
        return said


@contextlib.contextmanager
def bench(wanted: hosting.Wanted) -> Iterator[Bench]:
    """An emulator as long as the block lasts.

    Args:
        wanted: what it is started with; it must name a bucket.

    Raises:
        Refused: it cannot start.
    """
    assert wanted.bucket is not None
    with hosting.held(wanted) as reached:
        environment = reached.environment
        yield Bench(reached.url, wanted.folder.absolute(), wanted.project, wanted.bucket, environment)
