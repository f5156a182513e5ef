"""From waiting rows to batches of one action."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.schedule.waiting_rows import MOST_DESTINATIONS, WaitingRows, advantages

A, R = MailAction.ACTIVATION, MailAction.PASSWORD_RECOVERY
SAME = replace(A, name="invitation")  # no head start before activation


def row(number: int, action: MailAction = A) -> Row:
    return Row(action, f"u{number}@example.com", f"u{number}", "", "", b"")


def waiting(*rows: tuple[float, Row]) -> WaitingRows:
    waiting = WaitingRows()
    for at, one in rows:
        waiting.put(one, at)
    return waiting


def numbers(batch: Iterable[Row]) -> list[int]:
    return [int(one.login[1:]) for one in batch]


def order(rows: WaitingRows, most: int = 1) -> list[int]:
    """Return the rows in the order in which they are called."""
    taken: list[Row] = []
    while (action := rows.first()) is not None:
        taken += rows.take(action, most)
    return numbers(taken)


def test_action_that_waits_longest_goes_first_among_equals() -> None:
    """Its oldest row decides, not the number of rows or the order of the last calls."""
    given = [row(1, SAME), row(2), row(3), row(4, SAME), row(5), row(6, SAME)]
    assert order(waiting(*enumerate(given))) == [1, 2, 3, 4, 5, 6]
    assert order(waiting(*enumerate(given)), most=2) == [1, 4, 2, 3, 5, 6]


def test_recovery_overtakes_the_activations_that_wait() -> None:
    """Somebody waits for it at a screen."""
    assert order(waiting((10.0, row(1)), (10.0, row(2)), (11.9, row(3, R)))) == [3, 1, 2]


def test_activation_that_has_waited_two_seconds_longer_goes_first() -> None:
    """So recoveries that come all the time never stop it."""
    assert order(waiting((10.0, row(1)), (11.5, row(2)), (12.1, row(3, R)), (12.2, row(4, R)))) == [1, 3, 4, 2]


@pytest.mark.parametrize(
    ("head_starts", "ahead"),
    [
        ([], {}),
        ([43_200], {43_200: 0.0}),
        ([86_400, 43_200], {43_200: 0.0, 86_400: 2.0}),
        ([0, 1, 43_200, 86_400], {0: 0.0, 1: 1.0, 43_200: 3.0, 86_400: 5.0}),
    ],
)
def test_head_starts_of_hours_become_seconds(head_starts: list[int], ahead: dict[int, float]) -> None:
    """Each is ahead of the next lower one by as much as it is in the ledger, 2 s at most."""
    assert advantages(head_starts) == ahead


def test_closed_action_is_skipped_and_keeps_its_place() -> None:
    """The other action is sent meanwhile. Once it is open again, the row that waits longest is first."""
    rows = waiting((1, row(1, SAME)), (2, row(2)), (3, row(3, SAME)), (4, row(4)))
    assert rows.first({SAME.name}) == A.name
    assert numbers(rows.take(A.name, 1)) == [2]
    assert rows.first({SAME.name, A.name}) is None
    assert order(rows, most=50) == [1, 3, 4]


def test_newest_rows_are_taken_and_the_oldest_kept() -> None:
    """The kept ones are those that are called next."""
    rows = waiting(*((number, row(number)) for number in range(5)))
    assert sorted(numbers(rows.take_newest(A.name, 2, keep=1))) == [3, 4]
    assert sorted(numbers(rows.take_newest(A.name, 50, keep=1))) == [1, 2]
    assert rows.take_newest(A.name, 50, keep=1) == rows.take_newest(R.name, 50, keep=1) == []
    assert (rows.count(A.name), rows.count(R.name), len(rows)) == (1, 0, 1)


HEAD_STARTS = st.integers(0, 3) | st.sampled_from([43_200, 86_400])


@given(
    st.lists(HEAD_STARTS, min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 0.5)), max_size=80),
    st.floats(0.01, 0.5),
    st.integers(1, MOST_DESTINATIONS),
)
def test_nothing_starves_and_priority_counts(
    head_starts: list[int], arrivals: list[tuple[int, float]], call_every: float, most: int
) -> None:
    """No row waits for one that came later by more than its advantage. Of rows that came together, the higher goes."""
    actions = [replace(A, name=f"action{n}", head_start=head_start) for n, head_start in enumerate(head_starts)]
    rows, at, call_at = WaitingRows(), 0.0, 0.0

    def call() -> None:
        waits = {name: rows._rows[name][0] for name in rows.actions}
        name = rows.first()
        assert name is not None
        came, first = waits[name]
        ahead = advantages(one.action.head_start for _, one in waits.values())
        assert all(
            came - ahead[first.action.head_start] <= at - ahead[one.action.head_start] for at, one in waits.values()
        )
        assert all(one.action.head_start <= first.action.head_start for at, one in waits.values() if at == came)
        assert all(came - at <= 2.0 * (len(ahead) - 1) for at, _ in waits.values())
        assert 1 <= len(rows.take(name, most)) <= most

    for number, (which, later) in enumerate(arrivals):
        at += later
        while rows and call_at <= at:
            call()
            call_at += call_every
        rows.put(row(number, actions[which % len(actions)]), at)
    while rows:
        call()


@given(st.lists(st.booleans(), max_size=150), st.integers(1, MOST_DESTINATIONS), st.sets(st.sampled_from([A, R])))
def test_every_row_is_sent_once_in_the_order_of_its_action(
    kinds: list[bool], most: int, closed: set[MailAction]
) -> None:
    """Rows of closed actions stay."""
    rows = waiting(*((number, row(number, R if kind else A)) for number, kind in enumerate(kinds)))
    names = {action.name for action in closed}
    taken: list[Row] = []
    while action := rows.first(names):
        batch = rows.take(action, most)
        assert {one.action.name for one in batch} == {action}
        assert len(batch) <= most
        taken += batch
    rest = rows.take_all()
    assert not rows
    for one in (A, R):
        expected = [number for number, kind in enumerate(kinds) if kind is (one is R)]
        assert numbers(row for row in taken if row.action is one) == ([] if one in closed else expected)
        assert numbers(row for row in rest if row.action is one) == (expected if one in closed else [])
