"""What remote jobs print, read from Cloud Logging while they run: each line once, however often it is read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from nbvertex import service
from nbvertex.patience import Fault, Patience
from nbvertex.service import Line
from nbvertex.vertex import Door

EVERY = 3.0  # seconds: a project may read its log sixty times a minute
OVERLAP = 30.0  # seconds by which entries may come late


class Logs:
    """The log of some jobs.

    Args:
        door: to the service.
        patience: how often it is asked.
        project: where.
        say: is told once where the log cannot be read.
        now: seconds, from anywhere.
    """

    def __init__(
        self,
        door: Door,
        patience: Patience,
        project: str,
        say: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self._door, self._patience, self._project, self._say, self._now = door, patience, project, say, now
        self._seen: set[str] = set()
        self._since = ""
        self._asked: float | None = None
        self._closed = False

    def due(self) -> bool:
        """Whether it is time to read again."""
        return not self._closed and (self._asked is None or self._now() - self._asked >= EVERY)

    def read(self, jobs: Iterable[str]) -> Iterator[Line]:
        """The lines that are new; a log that cannot be read now has none."""
        names = [name for name in dict.fromkeys(jobs) if name]
        if not names or self._closed:
            return
        self._asked = self._now()
        page, since = "", self._since
        while True:
            call = service.logs(self._project, names, since, page)
            try:
                reply = self._patience.ask(partial(self._door.ask, call))
            except Fault as fault:
                if fault.kind in ("refused", "missing"):
                    self._closed = True
                    self._say(
                        f"the log cannot be read ({fault.message}): the role roles/logging.viewer is needed"
                    )
                return
            for line in service.lines(reply):
                if line.ident not in self._seen:
                    self._seen.add(line.ident)
                    self._since = max(self._since, _earlier(line.at))
                    yield line
            page = str(reply.get("nextPageToken", ""))
            if not page:
                return


def _earlier(moment: str) -> str:
    """A moment as far before as entries may come late."""
    try:
        at = dt.datetime.fromisoformat(moment)
    except ValueError:
        return ""
    return (at - dt.timedelta(seconds=OVERLAP)).isoformat().replace("+00:00", "Z")
