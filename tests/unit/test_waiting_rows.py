"""From waiting rows to batches of one action."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.schedule.waiting_rows import MOST_DESTINATIONS, WaitingRows

A, R = MailAction.ACTIVATION, MailAction.PASSWORD_RECOVERY


def row(number: int, action: MailAction = A) -> Row:
    return Row(action, f"u{number}@example.com", f"u{number}", "", "", b"")


def waiting(*rows: Row) -> WaitingRows:
    waiting = WaitingRows()
    for one in rows:
        waiting.put(one)
    return waiting


def numbers(batch: Iterable[Row]) -> list[int]:
    return [int(one.login[1:]) for one in batch]


def test_action_that_waits_longest_goes_first() -> None:
    """Its oldest row decides, not the number of rows or the order of the last calls."""
    rows = waiting(row(1, R), row(2), row(3), row(4, R), row(5), row(6, R))
    assert numbers(rows.next_batch(most=1)) == [1]
    assert numbers(rows.next_batch(most=2)) == [2, 3]
    assert numbers(rows.next_batch()) == [4, 6]
    assert numbers(rows.next_batch()) == [5]
    assert rows.next_batch() == []


def test_closed_action_is_skipped_and_keeps_its_place() -> None:
    """The other action is sent meanwhile. Once it is open again, the row that waits longest is first."""
    rows = waiting(row(1, R), row(2), row(3, R), row(4))
    assert numbers(rows.next_batch({R.name}, 1)) == [2]
    assert rows.next_batch({R.name, A.name}) == []
    assert numbers(rows.next_batch()) == [1, 3]
    assert numbers(rows.next_batch()) == [4]


@given(st.lists(st.booleans(), max_size=150), st.integers(1, MOST_DESTINATIONS), st.sets(st.sampled_from([A, R])))
def test_batch_has_the_announced_size(kinds: list[bool], most: int, closed: set[MailAction]) -> None:
    """The pace is asked for exactly the rows that are sent. Every row is sent once, in order within its action."""
    rows = waiting(*(row(number, R if kind else A) for number, kind in enumerate(kinds)))
    names = {action.name for action in closed}
    taken: list[Row] = []
    while size := rows.next_size(names, most):
        batch = rows.next_batch(names, most)
        assert len(batch) == size <= most
        assert len({one.action for one in batch}) == 1
        taken += batch
    assert rows.next_batch(names, most) == []
    rest = rows.take_all()
    assert not rows
    for action in (A, R):
        expected = [number for number, kind in enumerate(kinds) if kind is (action is R)]
        assert numbers(one for one in taken if one.action is action) == ([] if action in closed else expected)
        assert numbers(one for one in rest if one.action is action) == (expected if action in closed else [])
