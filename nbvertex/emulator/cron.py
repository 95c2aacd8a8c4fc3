"""Cron expressions with a time zone, as Vertex AI's schedules have them: `TZ=Europe/Berlin 30 2 * * 1-5`.

A schedule follows the clock on the wall: an hour that a change of the clocks leaves out has no runs, one that it
repeats has them twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)", re.DOTALL)
MONTHS = {
    name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)
}
DAYS = {name: number for number, name in enumerate("sun mon tue wed thu fri sat".split())}
FAR = 60 * 60 * 24 * 366 * 5  # seconds ahead in which an expression that ever fits does
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class InvalidCron(ValueError):
    """The expression is no cron expression, or names an unknown time zone."""


@dataclass(frozen=True, slots=True)
class Cron:
    """When something is due."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool  # a day of the month or of the week; else both must fit
    zone: tzinfo

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Read an expression.

        Raises:
            InvalidCron: it is none.
        """
        found = ZONE.fullmatch(text.strip())
        zone = _zone(found[1]) if found else UTC
        expression = (found[2] if found else text).strip()
        fields = NICKNAMES.get(expression.lower(), expression).split()
        if len(fields) != 5:
            raise InvalidCron(f"{text!r} has {len(fields)} fields, not 5 (minute hour day month weekday)")
        minute, hour, day, month, weekday = fields
        weekdays = _field(weekday, 0, 7, DAYS)
        return cls(
            _field(minute, 0, 59),
            _field(hour, 0, 23),
            _field(day, 1, 31),
            _field(month, 1, 12, MONTHS),
            frozenset(number % 7 for number in weekdays),
            not (day.startswith(("*", "?")) or weekday.startswith(("*", "?"))),
            zone,
        )

    def after(self, moment: float) -> float:
        """The first time that is due after this one, both in seconds since the epoch.

        Raises:
            InvalidCron: nothing is ever due.
        """
        at = (int(moment) // 60 + 1) * 60
        last = at + FAR
        while at < last:
            local = datetime.fromtimestamp(at, self.zone)
            if local.month not in self.months or not self._has_day(local):
                at = max(at + 60, self._midnight(local))
            elif local.hour not in self.hours:
                at += 60 * (
                    15 - local.minute % 15
                )  # no zone shifts its clock by less than a quarter of an hour
            elif local.minute not in self.minutes:
                at += 60
            else:
                return float(at)
        raise InvalidCron("nothing is ever due")

    def _has_day(self, local: datetime) -> bool:
        by_month, by_week = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return by_month or by_week if self.either else by_month and by_week

    def _midnight(self, local: datetime) -> int:
        """When the next day begins."""
        following = (local + timedelta(days=1)).date()
        return int(datetime(following.year, following.month, following.day, tzinfo=self.zone).timestamp())


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidCron(f"{name!r} is no known time zone") from error


def _field(text: str, low: int, high: int, names: dict[str, int] | None = None) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if slash and not (step.isdigit() and int(step)):
            raise InvalidCron(f"{part!r} has no step")
        first, dash, last = span.partition("-")
        if span in ("*", "?"):
            begin, end = low, high - (high == 7)
        else:
            begin = _number(first, low, high, names)
            end = _number(last, low, high, names) if dash else (high if slash else begin)
        if end < begin:
            raise InvalidCron(f"{part!r} ends before it begins")
        found.update(range(begin, end + 1, int(step or 1)))
    return frozenset(found)


def _number(text: str, low: int, high: int, names: dict[str, int] | None) -> int:
    known = (names or {}).get(text.lower())
    number = known if known is not None else int(text) if text.isdigit() else -1
    if not low <= number <= high:
        raise InvalidCron(f"{text!r} is not between {low} and {high}")
    return number
