"""Which rows go into the next call, and when the call is made."""

from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.schedule.call_schedule import CallSchedule
from mailroom_sender.schedule.gates import GateChange
from mailroom_sender.schedule.pace import Pace
from mailroom_sender.ses import holds
from mailroom_sender.ses.verdict import Outcome, Verdict

A, R = MailAction.ACTIVATION, MailAction.PASSWORD_RECOVERY
NEVER = float("inf")


def row(name: str, action: MailAction = A) -> Row:
    return Row(action, "a@b.example", name, name, "01234", b"")


def schedule(*rows: Row, rate: float = float("inf")) -> CallSchedule:
    made = CallSchedule(Pace(rate))
    for one in rows:
        made.put(one)
    return made


def test_without_rows_no_call_is_made() -> None:
    """The passing of time causes no call."""
    assert schedule().call_at(100.0) == NEVER
    assert len(schedule()) == 0


def test_call_is_made_at_once_with_the_waiting_rows() -> None:
    """The rows are those of the action that waits longest, up to the limit of a call."""
    made = schedule(row("1"), row("2", R), row("3"))
    assert made.call_at(100.0) == 100.0
    assert [one.login for one in made.take_batch(100.0)] == ["1", "3"]
    assert [one.login for one in made.take_batch(100.0)] == ["2"]
    assert len(made) == 0


def test_first_calls_wait_for_the_rate() -> None:
    """They wait until a given moment at most."""
    assert schedule(row("1")).call_at(100.0, not_before=105.0) == 105.0


def test_rate_delays_the_next_call() -> None:
    """There is a burst of one second's recipients, and then the rate. No call is larger than the burst."""
    made = schedule(*(row(str(number)) for number in range(4)), rate=2.0)
    assert len(made.take_batch(100.0)) == 2
    assert made.call_at(100.0) == 101.0
    assert len(made.take_batch(101.0)) == 2


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
    assert [one.login for one in made.take_batch(115.0)] == ["1", "3"]
    made.put(row("4"))
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
    made.put(row("3"))
    made.put_due(110.0)
    assert [one.login for one in made.take_batch(110.0)] == ["3", "2"]


def test_all_waiting_rows_are_taken_at_the_end() -> None:
    """Rows that wait for a call come before rows that wait for their time."""
    made = schedule(row("1"))
    made.retry(row("2"), 110.0)
    assert [one.login for one in made.take_all()] == ["1", "2"]
    assert len(made) == 0
