"""How often a row is tried, and when."""

from mailroom_sender.schedule.retries import MOST_ATTEMPTS, MOST_REFUSALS, delay_after, most_attempts
from mailroom_sender.schedule.retry_queue import RetryQueue
from mailroom_sender.ses import holds
from mailroom_sender.ses.verdict import Outcome, Verdict
from tests.support.sender_parts import rows


def test_held_row_waits_for_a_probe() -> None:
    """The row did not cause the hold. It waits 4 to 8 s after any number of tries."""
    held = Verdict(Outcome.HOLD, "paused", hold=holds.ACCOUNT)
    for attempt in (1, 12):
        assert (delay_after(held, attempt, 0.0), delay_after(held, attempt, 1.0)) == (4.0, 8.0)
    assert (delay_after(Verdict(Outcome.LATER), 1, 1.0), delay_after(Verdict(Outcome.LATER), 12, 1.0)) == (1.0, 60.0)


def test_undecided_refusal_is_tried_less_often() -> None:
    """Without a database no collector prints the row again, and its sender waits for it."""
    assert most_attempts(Verdict(Outcome.REFUSED)) == MOST_REFUSALS
    assert {most_attempts(Verdict(outcome)) for outcome in (Outcome.LATER, Outcome.HOLD, Outcome.UNKNOWN)} == {
        MOST_ATTEMPTS
    }


def test_rows_come_out_in_the_order_of_their_times() -> None:
    """Equal times keep the order of arrival. Rows themselves are never compared."""
    queue, (one, two, three) = RetryQueue(), rows(1, 2, 3)
    assert (len(queue), queue.due_at, queue.take_due(100.0)) == (0, float("inf"), [])
    queue.put(three, 9.0)
    queue.put(one, 5.0)
    queue.put(two, 5.0)
    assert (len(queue), queue.due_at) == (3, 5.0)
    assert queue.take_due(4.9) == []
    assert queue.take_due(5.0) == [one, two]
    assert queue.due_at == 9.0
    assert queue.take_all() == [three]
    assert len(queue) == 0
