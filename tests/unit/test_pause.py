"""What is said of a queue that is paused."""

from datetime import UTC, datetime

from mailroom_collector.schedule.pause import Pause

SINCE = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_pause_and_its_end_are_said_once() -> None:
    """With since when, why, and what to do."""
    pause = Pause("mailroom")
    assert pause.watched(None, None) is None
    said = pause.watched(SINCE, "a copy of production")
    assert said == (
        "the queue mailroom is paused since 2026-01-31 12:00:00 UTC (a copy of production): nothing is handed out,"
        " and what was and is not begun goes back, until 'mailroom-collect resume'"
    )
    assert pause.watched(SINCE, "another reason") is None
    assert pause.watched(None, None) == (
        "the queue mailroom is not paused any more: it was since 2026-01-31 12:00:00 UTC"
    )
    assert pause.watched(None, None) is None


def test_pause_without_a_reason_is_said() -> None:
    """By its time alone."""
    assert str(Pause("mailroom").watched(SINCE, None)).startswith(
        "the queue mailroom is paused since 2026-01-31 12:00:00 UTC: nothing is handed out"
    )
