"""How the senders begin what was printed."""

from mailroom_collector.output.sender_progress import SenderProgress


def test_sender_that_begins_most_rows_soon_acknowledges() -> None:
    """Rows that leave later prove nothing: the application may have deleted their tokens."""
    sender = SenderProgress()
    assert not sender.acknowledges(printed=0)
    sender.note([100.0] * 5, now=115.0)
    assert (sender.begun, sender.acknowledges(printed=9), sender.acknowledges(printed=10)) == (5, True, False)
    sender.note([100.0] * 5, now=115.1)
    assert (sender.begun, sender.acknowledges(printed=10)) == (10, False)


def test_rows_that_later_ones_pass_over_are_held_back() -> None:
    """A few seconds are allowed, because a sender puts a recovery before activations."""
    sender = SenderProgress()
    assert sender.held_back_before == float("-inf")
    sender.note([90.0, 100.0, 95.0], now=101.0)
    assert sender.held_back_before == 95.0


def test_sender_has_stopped_if_nothing_was_begun_since_the_last_question() -> None:
    """At the start it has begun nothing, either."""
    sender = SenderProgress()
    assert sender.has_stopped()
    sender.note([1.0], now=2.0)
    assert not sender.has_stopped()
    assert sender.has_stopped()
