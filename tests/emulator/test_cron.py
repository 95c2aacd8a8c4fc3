"""When a schedule is due."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex.emulator.cron import Cron, InvalidCron


def following(cron: str, start: str, count: int = 3, zone: str = "UTC") -> list[str]:
    """The next times, as the clock on the wall shows them."""
    moment, found = datetime.fromisoformat(start).timestamp(), []
    for _ in range(count):
        moment = Cron.parse(cron).after(moment)
        found.append(datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime("%a %d %b %H:%M %z"))
    return found


NEW = "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "cron,wanted",
    [
        ("*/20 * * * *", ["Thu 01 Jan 00:20 +0000", "Thu 01 Jan 00:40 +0000", "Thu 01 Jan 01:00 +0000"]),
        ("0 9 * * 1-5", ["Thu 01 Jan 09:00 +0000", "Fri 02 Jan 09:00 +0000", "Mon 05 Jan 09:00 +0000"]),
        ("0 0 29 2 *", ["Tue 29 Feb 00:00 +0000"]),
        ("30 6,18 * JAN mon", ["Mon 05 Jan 06:30 +0000", "Mon 05 Jan 18:30 +0000", "Mon 12 Jan 06:30 +0000"]),
        ("0 0 13 * 5", ["Fri 02 Jan 00:00 +0000", "Fri 09 Jan 00:00 +0000", "Tue 13 Jan 00:00 +0000"]),
        ("0 0 * * 7", ["Sun 04 Jan 00:00 +0000", "Sun 11 Jan 00:00 +0000", "Sun 18 Jan 00:00 +0000"]),
        (
            "5/25 10-12/2 * * *",
            ["Thu 01 Jan 10:05 +0000", "Thu 01 Jan 10:30 +0000", "Thu 01 Jan 10:55 +0000"],
        ),
        ("@daily", ["Fri 02 Jan 00:00 +0000", "Sat 03 Jan 00:00 +0000", "Sun 04 Jan 00:00 +0000"]),
    ],
)
def test_next_times(cron: str, wanted: list[str]) -> None:
    """Lists, ranges, steps, names; a day of the month or of the week where both are said."""
    assert following(cron, NEW, len(wanted)) == wanted


@pytest.mark.parametrize(
    "zone,cron,start,wanted",
    [
        ("America/New_York", "0 9 * * *", NEW, ["Thu 01 Jan 09:00 -0500"]),
        # The hour from 2 to 3 is left out on 29 March, and repeated on 25 October.
        ("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00+01:00", ["Mon 30 Mar 02:30 +0200"]),
        ("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00+02:00", ["Sun 25 Oct 02:30 +0200", "Sun 25 Oct 02:30 +0100", "Mon 26 Oct 02:30 +0100"]),
        ("Asia/Kolkata", "15 * * * *", NEW, ["Thu 01 Jan 06:15 +0530"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00:00+11:00", ["Sun 05 Apr 01:45 +1100", "Sun 05 Apr 01:45 +1030"]),
    ],
)  # fmt: skip
def test_zones(zone: str, cron: str, start: str, wanted: list[str]) -> None:
    """The clock on the wall counts, also where it is changed."""
    assert following(f"TZ={zone} {cron}", start, len(wanted), zone) == wanted
    assert Cron.parse(f"CRON_TZ={zone} {cron}") == Cron.parse(f"TZ={zone} {cron}")


@pytest.mark.parametrize(
    "cron,said",
    [
        ("* * * *", "4 fields"),
        ("60 * * * *", "not between 0 and 59"),
        ("* * 0 * *", "not between 1 and 31"),
        ("*/0 * * * *", "no step"),
        ("5-1 * * * *", "ends before"),
        ("a * * * *", "not between"),
        ("TZ=Mars/Base * * * * *", "no known time zone"),
        ("", "0 fields"),
    ],
)
def test_what_is_none(cron: str, said: str) -> None:
    """The message names the part."""
    with pytest.raises(InvalidCron, match=said):
        Cron.parse(cron)


def test_never() -> None:
    """The thirtieth of February is no day."""
    with pytest.raises(InvalidCron, match="ever due"):
        Cron.parse("0 0 30 2 *").after(0)


fields: Any = st.tuples(
    st.sampled_from(["*", "*/7", "3", "10-20", "0,59"]),
    st.sampled_from(["*", "*/5", "2", "1-3"]),
    st.sampled_from(["*", "1", "13-15", "*/9"]),
    st.sampled_from(["*", "3", "10-11"]),
    st.sampled_from(["*", "0", "1-5", "6,7"]),
)


@given(
    fields,
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns"]),
    st.integers(1_790_000_000, 1_800_000_000),
)
def test_nothing_is_left_out(parts: tuple[str, ...], zone: str, start: int) -> None:
    """No minute between now and what is due fits; that one does."""
    cron = Cron.parse(f"TZ={zone} {' '.join(parts)}")
    due = int(cron.after(start))
    assert due % 60 == 0
    assert due > start
    for moment in [*range((start // 60 + 1) * 60, min(due, start + 86400), 60), due]:
        local = datetime.fromtimestamp(moment, UTC).astimezone(ZoneInfo(zone))
        days = (local.day in cron.days, local.isoweekday() % 7 in cron.weekdays)
        fits = (
            local.minute in cron.minutes
            and local.hour in cron.hours
            and local.month in cron.months
            and (any(days) if cron.either else all(days))
        )
        assert fits is (moment == due)
