"""How often a row is tried, and when again."""

from mailroom_sender.schedule.retries import MOST_ATTEMPTS, MOST_REFUSALS, delay_after, most_attempts
from mailroom_sender.schedule.retry_queue import RetryQueue
from mailroom_sender.ses import holds
from mailroom_sender.ses.verdict import Outcome, Verdict
from tests.support.sender_parts import rows


def test_held_row_waits_for_a_probe_and_not_for_its_attempts() -> None:
    """A hold is nothing that a row could do about: 4 to 8 s, however often it was tried."""
    held = Verdict(Outcome.HOLD, "paused", hold=holds.ACCOUNT)
    for attempt in (1, 12):
        assert (delay_after(held, attempt, 0.0), delay_after(held, attempt, 1.0)) == (4.0, 8.0)
    assert (delay_after(Verdict(Outcome.LATER), 1, 1.0), delay_after(Verdict(Outcome.LATER), 12, 1.0)) == (1.0, 60.0)


def test_refusal_that_nobody_can_judge_is_tried_less_often() -> None:
    """Without a database nobody brings the row again, and its sender waits for it."""
    assert most_attempts(Verdict(Outcome.REFUSED)) == MOST_REFUSALS
    assert {most_attempts(Verdict(outcome)) for outcome in (Outcome.LATER, Outcome.HOLD, Outcome.UNKNOWN)} == {
        MOST_ATTEMPTS
    }


def test_rows_come_out_when_they_are_due_in_that_order() -> None:
    """Equal times keep the order in which the rows came; rows themselves are never compared."""
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
