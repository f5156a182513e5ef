"""The permission to call: its rows, its end, and what happens after a late answer."""

from collections.abc import Callable, Sequence

import pytest

from mailroom_sender.errors import Stopped
from mailroom_sender.ledger.pending_begin import PendingBegin
from mailroom_sender.ledger.shared_connection import Rows
from mailroom_sender.ses.permission import BeginResult, Begun, CallPermission
from tests.support.sender_parts import rows

LEASE = 30.0  # seconds


def test_permission_is_waited_for_once() -> None:
    """A second question gets the same answer."""
    (one,) = rows(1)
    answers = iter([BeginResult([Begun(one, 7, 1, call_by=5.0)], [])])
    asked = CallPermission(lambda: next(answers))
    assert asked.wait() is asked.wait()
    assert asked.allowed_until([one]) == 5.0


def test_permission_is_for_exactly_the_begun_rows() -> None:
    """A call with a row that is not begun, a copy of one, or another order would mail a row without permission."""
    one, other, third = rows(1, 2, 3)
    (copy,) = rows(1)
    begun = [Begun(one, 1, 1, call_by=9.0), Begun(other, 2, 1, call_by=4.0)]
    allowed = CallPermission(lambda: BeginResult(begun, [third]))
    assert copy == one
    assert allowed.allowed_until([one, other]) == 4.0
    assert allowed.allowed_until([one]) == 9.0  # the other one may still become unfit
    for refused in ([one, other, third], [third], [one, copy], [copy, one], [copy], [other, one], []):
        assert allowed.allowed_until(refused) is None


def test_permission_that_the_ledger_cannot_give_raises_each_time() -> None:
    """A sender that must stop gets the exception at each question."""

    def stopped() -> BeginResult:
        raise Stopped

    asked = CallPermission(stopped)
    for _ in range(2):
        with pytest.raises(Stopped):
            asked.allowed_until(rows(1))


class SlowDatabase:
    """Answers begin after this many seconds of a fake clock, and the next time after the next number."""

    def __init__(self, *seconds: float) -> None:
        self.now = 1000.0
        self.asked_at: list[float] = []
        self._seconds = iter(seconds)

    def begin(self) -> PendingBegin:
        return PendingBegin(self._ask, self._read, LEASE, lambda: self.now)

    def _ask(self) -> Callable[[], Rows]:
        self.asked_at.append(self.now)
        return self._answer

    def _answer(self) -> Rows:
        self.now += next(self._seconds)
        return [(len(self.asked_at),)]

    def _read(self, answer: Rows, call_by: float) -> BeginResult:
        return BeginResult([Begun(rows(1)[0], answer[0][0], 1, call_by=call_by)], [])


@pytest.mark.parametrize(
    ("seconds", "asked"), [((7.4,), 1), ((7.5, 1.0), 2), ((600.0, 8.0, 0.0), 3)], ids=["in time", "just over", "twice"]
)
def test_late_answer_of_begin_is_requested_again(
    seconds: Sequence[float], asked: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """It took a quarter of the lease.

    The permission counts from the question of its answer, and the log says each time that it was late.
    """
    database = SlowDatabase(*seconds)
    (begun,) = database.begin().result().begun
    assert (len(database.asked_at), begun.token) == (asked, asked)
    assert begun.call_by == database.asked_at[-1] + LEASE / 4
    assert capfd.readouterr().err.count("too long for a lease of 30000 ms; asking it again") == asked - 1


def test_begin_is_sent_before_its_answer_is_needed() -> None:
    """The database works while the call is built."""
    database = SlowDatabase(0.0)
    database.begin()
    assert database.asked_at == [1000.0]
