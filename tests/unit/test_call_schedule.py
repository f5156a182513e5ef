"""Which rows go into the next call, and when the call is made."""

import pytest

from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.schedule.call_schedule import MOST_HELD, CallSchedule
from mailroom_sender.schedule.gates import GateChange
from mailroom_sender.schedule.pace import Pace
from mailroom_sender.ses import holds
from mailroom_sender.ses.verdict import Outcome, Verdict

A, R = MailAction.ACTIVATION, MailAction.PASSWORD_RECOVERY
NEVER = float("inf")


def row(name: str, action: MailAction = A) -> Row:
    return Row(action, "a@b.example", name, name, "01234", b"")


def schedule(*rows: Row, rate: float = float("inf"), most_rows: int = 400, gives_back: bool = False) -> CallSchedule:
    made = CallSchedule(Pace(rate), most_rows, gives_back=gives_back)
    for one in rows:
        made.put(one, 100.0)
    return made


def test_without_rows_no_call_is_made() -> None:
    """The passing of time causes no call."""
    assert schedule().call_at(100.0) == NEVER
    assert len(schedule()) == 0


def test_call_is_made_at_once_with_the_waiting_rows() -> None:
    """The action with the higher head start comes first."""
    made = schedule(row("1"), row("2", R), row("3"))
    assert made.call_at(100.0) == 100.0
    assert [one.login for one in made.take_batch(100.0)] == ["2"]
    assert [one.login for one in made.take_batch(100.0)] == ["1", "3"]
    assert (len(made), made.take_batch(100.0)) == (0, [])


def test_first_calls_wait_for_the_rate() -> None:
    """They wait until a given moment at most."""
    assert schedule(row("1")).call_at(100.0, not_before=105.0) == 105.0


def test_rate_delays_the_next_call() -> None:
    """The rate is used in small calls, not in one call a second."""
    made = schedule(*(row(str(number)) for number in range(4)), rate=2.0)
    assert not made.waits_for_pace(100.0)
    assert len(made.take_batch(100.0)) == 1
    assert (round(made.call_at(100.0), 2), made.waits_for_pace(100.0)) == (100.51, True)
    assert len(made.take_batch(100.52)) == 1
    assert not schedule(rate=2.0).waits_for_pace(100.0)


def test_held_action_waits_alone_and_its_probe_goes_first() -> None:
    """The other action is not delayed. The probe is one call at its time. The next call waits for its answer."""
    made = schedule(row("1"), row("2", R), row("3"))
    hold = Verdict(Outcome.HOLD, "no template", hold=holds.TEMPLATE)
    assert made.answered("activation", [hold], 100.0, 0.0) == [
        GateChange(True, "no template", holds.TEMPLATE, "activation")
    ]
    assert (made.is_held, made.hold_reason) == (True, "no template")
    assert [one.login for one in made.take_batch(100.0)] == ["2"]
    assert made.call_at(101.0) == 115.0
    assert [one.login for one in made.take_batch(115.0)] == ["1"]
    made.put(row("4"), 116.0)
    assert made.call_at(116.0) == 130.0
    made.answered("activation", [Verdict(Outcome.SENT)], 117.0, 0.0)
    assert (made.is_held, made.call_at(117.0)) == (False, 117.0)


def test_retried_row_waits_for_its_time_and_then_for_a_call() -> None:
    """It counts as waiting all the time, and comes after the rows that are already there."""
    made = schedule(row("1"))
    made.retry(row("2"), 110.0)
    assert (len(made), made.retry_at) == (2, 110.0)
    made.put_due(109.9)
    assert [one.login for one in made.take_batch(109.9)] == ["1"]
    assert made.call_at(109.9) == NEVER
    made.put(row("3"), 109.9)
    made.put_due(110.0)
    assert [one.login for one in made.take_batch(110.0)] == ["3", "2"]


def test_all_waiting_rows_are_taken_at_the_end() -> None:
    """Rows that wait for a call come before rows that wait for their time."""
    made = schedule(row("1"))
    made.retry(row("2"), 110.0)
    assert [one.login for one in made.take_all()] == ["1", "2"]
    assert len(made) == 0


@pytest.mark.parametrize(
    ("rate", "room"), [(0.5, 1), (1.0, 1), (14.0, 13), (100.0, 98), (5000.0, 400), (float("inf"), 400)]
)
def test_about_a_second_of_rows_may_wait(rate: float, room: int) -> None:
    """More would be ahead of rows that are more urgent. One call is always possible."""
    assert schedule(rate=rate).room(100.0) == room
    assert schedule(row("1"), rate=rate).room(100.0) == room - 1


TEMPLATE = Verdict(Outcome.HOLD, "no template", hold=holds.TEMPLATE)
REFUSALS = Verdict(Outcome.HOLD, "refused", hold=holds.REFUSALS)
PAUSED = Verdict(Outcome.HOLD, "paused", hold=holds.ACCOUNT)


def test_held_action_takes_no_room_from_the_others() -> None:
    """Without a ledger its rows wait in this program, up to a limit of their own."""
    made = schedule(*(row(str(number)) for number in range(9)), rate=10.0)
    made.retry(row("later"), 130.0)
    assert made.room(100.0) == -1
    made.answered(A.name, [TEMPLATE], 100.0, 0.0)
    assert (made.room(100.0), made.held_count, made.take_held()) == (9, 10, None)
    for number in range(MOST_HELD - 12):
        made.put(row(str(number)), 101.0)
    assert made.room(101.0) == 2
    made.put(row("recovery", R), 101.0)
    assert (made.room(101.0), made.held_count) == (2, MOST_HELD - 2)
    made.answered(A.name, [Verdict(Outcome.SENT)], 115.0, 0.0)
    assert (made.held_count, made.room(115.0) < 0) == (0, True)


def test_rows_of_a_held_action_are_given_back_but_one() -> None:
    """The oldest one stays for the probe. The others are taken in groups of a call's size."""
    made = schedule(*(row(str(number)) for number in range(70)), row("other", R), gives_back=True)
    assert made.take_held() is None
    made.answered(A.name, [TEMPLATE], 100.0, 0.0)
    taken = [held for _ in range(2) if (held := made.take_held())]
    assert [(len(held.rows), held.reason, held.hold) for held in taken] == [
        (50, "no template", holds.TEMPLATE),
        (19, "no template", holds.TEMPLATE),
    ]
    assert (taken[0].delay(0.0), taken[0].delay(1.0)) == (15.0, 60.0)
    assert (made.take_held(), made.held_count, len(made)) == (None, 1, 2)
    assert [one.login for one in made.take_batch(100.0)] == ["other"]
    assert [one.login for one in made.take_batch(115.0)] == ["0"]


def test_probe_after_refusals_keeps_fifty_rows() -> None:
    """A good one among them ends the hold."""
    made = schedule(*(row(str(number)) for number in range(70)), gives_back=True)
    made.answered(A.name, [REFUSALS], 100.0, 0.0)
    held = made.take_held()
    assert held is not None
    assert (len(held.rows), made.take_held(), made.room(100.0)) == (20, None, 400)


def test_held_account_keeps_one_row_and_reads_no_more() -> None:
    """Another sender, with another account, may send the others. A row whose own action is held is no good probe."""
    made = schedule(*(row(str(number), R) for number in range(3)), row("3"), row("4"), gives_back=True)
    made.answered(R.name, [TEMPLATE], 100.0, 0.0)
    made.answered(A.name, [PAUSED], 100.0, 0.0)
    taken = [held for _ in range(2) if (held := made.take_held())]
    assert sorted(one.login for held in taken for one in held.rows) == ["0", "1", "2", "4"]
    assert {held.delay(1.0) for held in taken} == {8.0}
    assert (made.take_held(), made.room(100.0), made.held_count) == (None, 0, 1)
    assert [one.login for one in made.take_batch(115.0)] == ["3"]
    assert made.room(115.0) == 1


def test_held_account_without_a_ledger_lets_rows_wait() -> None:
    """As many as always: nothing can be sent before them."""
    made = schedule(row("1"), row("2"), rate=10.0)
    made.answered(A.name, [PAUSED], 100.0, 0.0)
    assert (made.room(100.0), made.held_count, made.take_held()) == (7, 2, None)
