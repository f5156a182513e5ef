"""The log messages about a paused queue."""

from datetime import UTC, datetime

from mailroom_collector.schedule.pause import Pause

SINCE = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_pause_and_its_end_are_reported_once() -> None:
    """They say since when, why, and what to do."""
    pause = Pause("mailroom")
    assert pause.update(None, None) is None
    assert pause.update(SINCE, "a copy of production") == (
        True,
        "a copy of production",
        "the queue mailroom is paused since 2026-01-31 12:00:00 UTC (a copy of production): nothing more is printed,"
        " and rows that no sender has begun are released, until 'mailroom-collect resume'",
    )
    assert pause.update(SINCE, "another reason") is None
    assert pause.update(None, None) == (
        False,
        None,
        "the queue mailroom is not paused any more; it was paused since 2026-01-31 12:00:00 UTC",
    )
    assert pause.update(None, None) is None


def test_pause_without_a_reason_is_reported() -> None:
    """The message has the time only."""
    change = Pause("mailroom").update(SINCE, None)
    assert change is not None
    assert change.reason is None
    assert change.text.startswith("the queue mailroom is paused since 2026-01-31 12:00:00 UTC: nothing more is printed")
