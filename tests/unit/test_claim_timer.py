"""The next action of the collector, and its time."""

from datetime import UTC, datetime

import pytest

from mailroom_collector.ledger.scan import Place, Scan
from mailroom_collector.schedule.claim_timer import ClaimTimer
from mailroom_runtime.backoff import Backoff, backoff


@pytest.fixture
def timer() -> ClaimTimer:
    """Idle at time 0. A batch is ten rows or five seconds, and a check follows after a hundred seconds."""
    timer = ClaimTimer(batch_limit=10, batch_timeout=5.0, check_interval=100.0)
    timer.connected(0.0)
    timer.drained(0.0)
    return timer


def test_connection_is_followed_by_a_claim() -> None:
    """Rows that were announced while there was no connection are claimed at once."""
    timer = ClaimTimer(10, 5.0, 100.0)
    timer.connected(0.0)
    assert timer.is_due(0.0)


def test_idle_timer_waits_for_the_health_check(timer: ClaimTimer) -> None:
    """Without notifications the next action is the check."""
    assert timer.deadline() == 100.0
    assert not timer.is_due(99.9)
    assert timer.is_due(100.0)


def test_drain_does_all_that_was_due(timer: ClaimTimer) -> None:
    """This is so without a count too, as during fast polling. Nothing is repeated without end."""
    timer.counted(10.0, waiting=0, next_due_ms=2500)
    assert timer.is_due(12.5)
    timer.drained(12.6)
    assert not timer.is_due(12.7)
    assert timer.is_due(110.0)
    timer.drained(110.1)
    assert timer.deadline() == 210.1


def test_batch_ends_a_fixed_time_after_its_first_row(timer: ClaimTimer) -> None:
    """Later rows do not extend the wait of the first one."""
    timer.counted(10.0, waiting=1, next_due_ms=None)
    timer.counted(14.0, waiting=2, next_due_ms=None)
    assert not timer.is_due(14.9)
    assert timer.is_due(15.0)


def test_full_batch_is_due_at_once(timer: ClaimTimer) -> None:
    """A full line of rows ends the wait."""
    timer.counted(10.0, waiting=10, next_due_ms=None)
    assert timer.is_due(10.0)


def test_urgent_row_is_due_at_once(timer: ClaimTimer) -> None:
    """It ends the wait of a batch that has begun, too."""
    timer.counted(10.0, waiting=1, next_due_ms=None)
    timer.counted(10.1, waiting=2, next_due_ms=None, is_urgent=True)
    assert timer.is_due(10.1)


def test_rows_that_are_locked_are_claimed_again_after_a_moment(timer: ClaimTimer) -> None:
    """A claim at once would find them locked again, and the collector would ask the server without a pause."""
    timer.counted(10.0, waiting=1, next_due_ms=None, is_urgent=True, claimed_none=True)
    assert not timer.is_due(10.1)
    assert timer.is_due(10.25)
    timer.drained(10.25)
    timer.counted(10.25, waiting=1000, next_due_ms=None, claimed_none=True)
    assert timer.deadline() == pytest.approx(10.45)


def test_row_that_becomes_due_is_waited_for(timer: ClaimTimer) -> None:
    """A retry or an expired lease needs neither a notification nor a batch timer."""
    timer.counted(10.0, waiting=0, next_due_ms=2500)
    assert timer.deadline() == 12.5
    assert timer.is_due(12.5)


def test_row_claimed_by_another_collector_ends_the_batch(timer: ClaimTimer) -> None:
    """The timer then has no purpose."""
    timer.counted(10.0, waiting=1, next_due_ms=None)
    timer.counted(11.0, waiting=0, next_due_ms=None)
    assert timer.deadline() == 111.0


def test_disconnected_timer_forgets_what_was_due(timer: ClaimTimer) -> None:
    """Without a connection nothing can be claimed."""
    timer.counted(10.0, waiting=10, next_due_ms=5)
    timer.disconnected()
    assert not timer.is_due(11.0)


def test_backoff_doubles_to_its_cap_and_starts_again() -> None:
    """It is 100 ms, doubled up to 30 s, with jitter down to a half. A success resets it."""
    reconnection = Backoff(0.1, 30.0)
    waits = [reconnection.failed(1.0) for _ in range(12)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == 30.0
    assert reconnection.failed(0.0) == 15.0
    reconnection.succeeded()
    assert reconnection.failed(1.0) == 0.1


PLACE = Place(datetime(2026, 1, 31, tzinfo=UTC), 7)


def test_scan_continues_behind_the_last_row_while_claims_are_full() -> None:
    """It does not read claimed rows again.

    A short claim goes back to the start, and a short one there ends the scan.
    """
    scan = Scan()
    assert scan.begin(10.0) is None
    assert not scan.claimed(PLACE, 10.0, 0.05, is_full=True)
    assert scan.begin(10.1) == PLACE
    assert not scan.claimed(PLACE, 10.1, 0.05, is_full=False)
    assert scan.begin(10.2) is None
    assert scan.claimed(None, 10.2, 0.05, is_full=False)


@pytest.mark.parametrize(("seconds", "wait"), [(0.0001, 0.02), (0.002, 0.04), (0.05, 1.0), (3.0, 1.0)])
def test_scan_starts_again_as_often_as_its_claims_from_the_start_cost_little(seconds: float, wait: float) -> None:
    """A new row of a higher priority is at the start. A claim there takes a twentieth of the time, or less."""
    scan = Scan()
    scan.begin(10.0)
    scan.claimed(PLACE, 10.5, seconds, is_full=True)
    assert scan.begin(10.5 + wait - 0.001) == PLACE
    scan.claimed(PLACE, 10.5 + wait - 0.001, 2.0, is_full=True)  # behind a place, so its cost does not matter
    assert scan.begin(10.5 + wait) is None


def test_connection_is_followed_by_a_check_after_the_interval() -> None:
    """The first check of a new connection comes after one interval."""
    timer = ClaimTimer(10, 5.0, 100.0)
    timer.connected(7.0)
    assert timer.deadline() == 107.0


def test_without_notifications_it_checks_every_second(timer: ClaimTimer) -> None:
    """While notifications don't arrive, the interval is a second. Later it is the usual one again."""
    timer.set_notifications_missing(10.0, is_missing=True)
    assert timer.deadline() == 11.0
    timer.counted(11.0, waiting=0, next_due_ms=None)
    assert timer.deadline() == 12.0
    timer.set_notifications_missing(11.5, is_missing=False)
    assert timer.deadline() == 12.0
    timer.counted(12.0, waiting=0, next_due_ms=None)
    assert timer.deadline() == 112.0


def test_check_every_second_delays_no_earlier_one(timer: ClaimTimer) -> None:
    """A check that is due sooner stays due."""
    timer.set_notifications_missing(99.5, is_missing=True)
    assert timer.deadline() == 100.0


def test_count_says_whether_there_are_more_rows_than_before(timer: ClaimTimer) -> None:
    """The same number is not new. After a drain the count starts at zero."""
    assert timer.counted(10.0, waiting=1, next_due_ms=None)
    assert not timer.counted(11.0, waiting=1, next_due_ms=None)
    assert timer.counted(12.0, waiting=2, next_due_ms=None)
    timer.drained(13.0)
    assert timer.counted(14.0, waiting=1, next_due_ms=None)


def test_drain_at_the_moment_itself_does_what_was_due(timer: ClaimTimer) -> None:
    """The moment itself counts as reached, for a row and for a check."""
    timer.counted(10.0, waiting=0, next_due_ms=2500)
    timer.drained(12.5)
    assert timer.deadline() == 110.0
    timer.drained(110.0)
    assert timer.deadline() == 210.0


def test_backoff_grows_to_any_cap() -> None:
    """It stops doubling after 32 failures, before a float could overflow, whatever the cap is."""
    waits = [backoff(failures, 1.0, first=1.0, cap=float("inf")) for failures in (1, 2, 33, 34, 5000)]
    assert waits == [1.0, 2.0, 2.0**32, 2.0**32, 2.0**32]
