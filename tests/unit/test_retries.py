"""How often a row is tried, and when."""

import pytest

from mailroom_sender.schedule.retries import (
    MOST_ATTEMPTS,
    MOST_REFUSALS,
    delay_after,
    delay_of_given_back,
    most_attempts,
)
from mailroom_sender.schedule.retry_queue import RetryQueue
from mailroom_sender.ses import holds
from mailroom_sender.ses.holds import Hold
from mailroom_sender.ses.verdict import Outcome, Verdict
from tests.support.sender_parts import rows


def test_held_row_waits_for_a_probe() -> None:
    """The row did not cause the hold. It waits 4 to 8 s after any number of tries."""
    held = Verdict(Outcome.HOLD, "paused", hold=holds.ACCOUNT)
    for attempt in (1, 12):
        assert (delay_after(held, attempt, 0.0), delay_after(held, attempt, 1.0)) == (4.0, 8.0)
    assert (delay_after(Verdict(Outcome.LATER), 1, 1.0), delay_after(Verdict(Outcome.LATER), 12, 1.0)) == (1.0, 60.0)


@pytest.mark.parametrize(
    ("hold", "probe", "waits"),
    [
        (holds.TEMPLATE, 15.0, (15.0, 60.0)),
        (holds.REFUSALS, 1.0, (4.0, 8.0)),
        (holds.REFUSALS, 8.0, (8.0, 32.0)),
        (holds.QUOTA, 15.0, (4.0, 8.0)),
    ],
)
def test_row_that_is_given_back_waits_longer_if_no_other_sender_can_send_it(
    hold: Hold, probe: float, waits: tuple[float, float]
) -> None:
    """A missing template is missing for all. An import does not come back at once, nor all at the same time."""
    assert (delay_of_given_back(hold, probe, 0.0), delay_of_given_back(hold, probe, 1.0)) == waits


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
    assert (len(queue), queue.due_at, queue.count("activation"), queue.count("other")) == (3, 5.0, 3, 0)
    assert queue.take_due(4.9) == []
    assert queue.take_due(5.0) == [one, two]
    assert (queue.due_at, queue.count("activation")) == (9.0, 1)
    assert queue.take_all() == [three]
    assert (len(queue), queue.count("activation")) == (0, 0)
