"""Cloud Logging: what clients write and jobs print, read again."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("google.cloud.logging")


@pytest.fixture
def client(emulator: Any) -> Any:
    """Google's client."""
    from google.cloud import logging

    return logging.Client(project="test-project")


def test_entries_are_read_by_filter(client: Any) -> None:
    """Time, severity, labels, texts and fields, in either order and in pages."""
    log = client.logger("app/web")
    log.log_text("started", severity="INFO", labels={"part": "a"})
    log.log_text("it broke", severity="ERROR", labels={"part": "b"})
    log.log_struct({"message": "told", "code": 7}, severity="WARNING")

    def found(said: str, **more: Any) -> list[Any]:
        of = 'logName="projects/test-project/logs/app%2Fweb"'
        listed = [e.payload for e in client.list_entries(filter_=f"{of} AND {said}" if said else of, **more)]
        return [
            payload for payload in listed if "diagnostic" not in str(payload)
        ]  # the client tells of itself

    assert found("") == ["started", "it broke", {"message": "told", "code": 7.0}]
    assert found("severity>=WARNING") == ["it broke", {"message": "told", "code": 7.0}]
    assert found("severity=(INFO OR ERROR)") == ["started", "it broke"]
    assert found('labels.part="b"') == ["it broke"]
    assert found('labels.part="b" OR jsonPayload.code=7', order_by="timestamp desc") == [
        {"message": "told", "code": 7.0},
        "it broke",
    ]
    assert found('textPayload:"BROKE"') == ["it broke"]
    assert found('NOT textPayload:"broke" AND severity<WARNING') == ["started"]
    assert found('textPayload=~"^s.*d$"') == ["started"]
    assert found('timestamp>"2999-01-01T00:00:00Z"') == []
    assert found('"broke"') == ["it broke"]
    assert len(found("", page_size=2)) == 3


def test_one_entry_is_entered_once(client: Any) -> None:
    """The same log, time and insert id are the same entry."""
    import datetime as dt

    log, at = client.logger("once"), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    for _ in range(2):
        log.log_text("again", insert_id="x", timestamp=at)
    since = 'timestamp>="2026-01-01T00:00:00Z" AND logName="projects/test-project/logs/once"'
    assert [e.payload for e in client.list_entries(filter_=since)] == ["again"]
    log.delete()
    assert list(client.list_entries(filter_=since)) == []
