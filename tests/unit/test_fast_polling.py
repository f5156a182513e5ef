"""When a collector looks by itself, and when it stops."""

from collections.abc import Iterator
from itertools import pairwise

from mailroom_collector.schedule.fast_polling import FastPolling, PollingStep


def everything(
    attendance: FastPolling, now: float, *, all_ended: bool = True, allowed: bool = True
) -> Iterator[PollingStep]:
    """Do all that is due, as the collector does."""
    while (do := attendance.do(now)) is not PollingStep.NOTHING:
        yield do
        if do is PollingStep.ATTEND:
            attendance.attended(now, allowed)
        elif do is PollingStep.RING:
            attendance.rang()
        elif do is PollingStep.LEAVE:
            attendance.left(now, all_ended, 1.0)


def attending() -> FastPolling:
    attendance = FastPolling()
    attendance.heard(10.0, 100)
    assert list(everything(attendance, 10.0)) == [PollingStep.ATTEND]
    return attendance


def test_bells_that_come_fast_make_it_attend() -> None:
    """25 within a quarter of a second do, a bell every 20 ms does not."""
    attendance = FastPolling()
    for number in range(100):
        attendance.heard(10.0 + number / 50, 1)
        assert list(everything(attendance, 10.0 + number / 50)) == []
    attendance.heard(12.0, 20)
    assert list(everything(attendance, 12.0)) == [PollingStep.ATTEND]
    assert attendance.attending


def test_looks_every_few_ms_while_it_attends() -> None:
    """Nothing rings meanwhile, so it looks by itself, and says when."""
    attendance = attending()
    assert list(everything(attendance, 10.01)) == []
    assert attendance.deadline() == 10.02
    assert list(everything(attendance, 10.02)) == [PollingStep.LOOK]
    assert attendance.deadline() == 10.04


def test_rings_for_others_after_what_it_found() -> None:
    """Who else listens is rung ten times a second while there is something, and not when there is nothing."""
    attendance = attending()
    attendance.found(10.05)
    assert PollingStep.RING in list(everything(attendance, 10.15))
    assert PollingStep.RING not in list(everything(attendance, 10.24))


def test_leaves_when_nothing_comes_and_looks_once_more() -> None:
    """Once all silent inserts have ended, one look sees what they wrote; then it sleeps."""
    attendance = attending()
    attendance.found(10.1)
    assert PollingStep.LEAVE not in list(everything(attendance, 10.3))
    assert list(everything(attendance, 10.36)) == [PollingStep.LEAVE, PollingStep.LOOK]
    assert attendance.deadline() == float("inf")


def test_asks_again_while_a_silent_insert_is_under_way() -> None:
    """It does not sleep before the last of them has ended, and looks every second: any role may hold the lock."""
    attendance = attending()
    assert list(everything(attendance, 10.5, all_ended=False)) == [PollingStep.LEAVE]
    did: list[tuple[float, PollingStep]] = [(10.5, PollingStep.LEAVE), (10.5, PollingStep.LOOK)]
    for _ in range(40):
        now = attendance.deadline()
        did += [(now, do) for do in everything(attendance, now, all_ended=False)]
    for what in (PollingStep.LEAVE, PollingStep.LOOK):
        times = [time for time, do in did if do is what]
        assert max(after - before for before, after in pairwise(times)) <= 1.001, what
    assert did[2][0] < 10.52
    assert list(everything(attendance, did[-1][0] + 2)) == [PollingStep.LEAVE, PollingStep.LOOK]


def test_a_new_session_asks_after_silent_inserts_first() -> None:
    """A collector that died attending may have left some under way."""
    attendance = FastPolling()
    attendance.connected(10.0)
    assert list(everything(attendance, 10.0, all_ended=False)) == [PollingStep.LEAVE]
    assert list(everything(attendance, attendance.deadline())) == [PollingStep.LEAVE, PollingStep.LOOK]


def test_looks_every_second_while_another_attends() -> None:
    """The other one may have been stopped; when it is gone, what it left under way is asked after."""
    attendance = FastPolling()
    attendance.looked(10.0, another_attends=True)
    assert list(everything(attendance, 10.0)) == [PollingStep.LOOK]
    attendance.looked(10.0, another_attends=True)
    attendance.looked(10.9, another_attends=True)  # asked more often, it looks no later
    assert attendance.deadline() == 11.0
    assert list(everything(attendance, 11.0)) == [PollingStep.LOOK]
    attendance.looked(11.0, another_attends=True)
    assert list(everything(attendance, 12.0)) == [PollingStep.LOOK]
    attendance.looked(12.0, another_attends=False)
    assert list(everything(attendance, 12.0)) == [PollingStep.LEAVE, PollingStep.LOOK]
    assert attendance.deadline() == float("inf")


def test_only_one_attends() -> None:
    """Who is not allowed to goes on listening, and may ask again when as many bells came."""
    attendance = FastPolling()
    attendance.heard(10.0, 25)
    assert list(everything(attendance, 10.0, allowed=False)) == [PollingStep.ATTEND]
    assert not attendance.attending
    assert attendance.deadline() == float("inf")


def test_disconnected_it_wants_nothing() -> None:
    """What a session held is gone with it."""
    attendance = attending()
    attendance.disconnected()
    assert not attendance.attending
    assert attendance.deadline() == float("inf")
    assert list(everything(attendance, 99.0)) == []


def test_25_notifications_in_a_quarter_of_a_second_are_enough() -> None:
    """Exactly so many in exactly that time start fast polling; one that came a moment earlier does not count."""
    exact, late = FastPolling(), FastPolling()
    exact.heard(10.0, 1)
    exact.heard(10.25, 24)
    assert exact.do(10.25) is PollingStep.ATTEND
    late.heard(9.99, 1)
    late.heard(10.25, 24)
    assert late.do(10.25) is PollingStep.NOTHING


def test_notifies_others_at_the_moment_it_said() -> None:
    """The moment that deadline() names is the moment at which it is done."""
    attendance = attending()
    list(everything(attendance, 10.02))
    attendance.looked(10.02, another_attends=False)
    while attendance.deadline() < 10.1:
        list(everything(attendance, attendance.deadline()))
    assert attendance.deadline() == 10.1
    assert attendance.do(10.1) is PollingStep.RING


def test_looks_each_second_while_silent_inserts_are_under_way() -> None:
    """Others may hold the lock for hours; once they have ended it looks by itself no more."""
    attendance = FastPolling()
    attendance.connected(10.0)
    assert list(everything(attendance, 10.0, all_ended=False)) == [PollingStep.LEAVE]
    assert attendance.do(10.5) is PollingStep.LEAVE
    attendance.left(10.5, False, 1.0)
    assert attendance.deadline() == 10.52
    for now in (11.0, 12.0):
        attendance.left(now, False, 1.0)
        assert attendance.do(now) is PollingStep.LOOK
        assert attendance._look_at == now + 1.0
    attendance.left(12.5, True, 1.0)
    assert attendance.do(12.5) is PollingStep.LOOK
    assert attendance.deadline() == float("inf")
