"""When a collector starts fast polling, and when it stops."""

from collections.abc import Iterator
from itertools import pairwise

from mailroom_collector.schedule.fast_polling import FastPolling, PollingStep


def everything(
    polling: FastPolling, now: float, *, all_ended: bool = True, allowed: bool = True
) -> Iterator[PollingStep]:
    """Do everything that is due, as the collector does."""
    while (step := polling.next_step(now)) is not PollingStep.NOTHING:
        yield step
        if step is PollingStep.START:
            polling.started(now, is_allowed=allowed)
        elif step is PollingStep.NOTIFY:
            polling.notified_others()
        elif step is PollingStep.STOP:
            polling.stopped(now, 1.0, all_ended=all_ended)


def fast() -> FastPolling:
    polling = FastPolling()
    polling.notified(10.0, 100)
    assert list(everything(polling, 10.0)) == [PollingStep.START]
    return polling


def test_frequent_notifications_start_fast_polling() -> None:
    """25 within a quarter of a second do. One every 20 ms does not."""
    polling = FastPolling()
    for number in range(100):
        polling.notified(10.0 + number / 50, 1)
        assert list(everything(polling, 10.0 + number / 50)) == []
    polling.notified(12.0, 20)
    assert list(everything(polling, 12.0)) == [PollingStep.START]
    assert polling.is_polling


def test_polls_every_20_ms() -> None:
    """Inserts skip NOTIFY meanwhile, so it polls and names the next time."""
    polling = fast()
    assert list(everything(polling, 10.01)) == []
    assert polling.deadline() == 10.02
    assert list(everything(polling, 10.02)) == [PollingStep.POLL]
    assert polling.deadline() == 10.04


def test_notifies_other_sessions_after_new_rows() -> None:
    """It does so ten times a second while there are new rows, and otherwise not."""
    polling = fast()
    polling.found_rows(10.05)
    assert PollingStep.NOTIFY in list(everything(polling, 10.15))
    assert PollingStep.NOTIFY not in list(everything(polling, 10.24))


def test_stops_without_new_rows_and_polls_once_more() -> None:
    """When all inserts that skipped NOTIFY have ended, one poll reads their rows. Then it sleeps."""
    polling = fast()
    polling.found_rows(10.1)
    assert PollingStep.STOP not in list(everything(polling, 10.3))
    assert list(everything(polling, 10.36)) == [PollingStep.STOP, PollingStep.POLL]
    assert polling.deadline() == float("inf")


def test_asks_again_while_an_insert_that_skipped_notify_is_in_progress() -> None:
    """Until the last one has ended it polls every second, because any role may hold the lock."""
    polling = fast()
    assert list(everything(polling, 10.5, all_ended=False)) == [PollingStep.STOP]
    did: list[tuple[float, PollingStep]] = [(10.5, PollingStep.STOP), (10.5, PollingStep.POLL)]
    for _ in range(40):
        now = polling.deadline()
        did += [(now, step) for step in everything(polling, now, all_ended=False)]
    for what in (PollingStep.STOP, PollingStep.POLL):
        times = [time for time, step in did if step is what]
        assert max(after - before for before, after in pairwise(times)) <= 1.001, what
    assert did[2][0] < 10.52
    assert list(everything(polling, did[-1][0] + 2)) == [PollingStep.STOP, PollingStep.POLL]


def test_a_new_session_first_asks_for_inserts_that_skipped_notify() -> None:
    """A collector that died during fast polling may have left some in progress."""
    polling = FastPolling()
    polling.connected(10.0)
    assert list(everything(polling, 10.0, all_ended=False)) == [PollingStep.STOP]
    assert list(everything(polling, polling.deadline())) == [PollingStep.STOP, PollingStep.POLL]


def test_polls_every_second_while_another_polls_fast() -> None:
    """The other one may be stopped. When it is gone, this one asks for the inserts in progress."""
    polling = FastPolling()
    polling.polled(10.0, another_polls=True)
    assert list(everything(polling, 10.0)) == [PollingStep.POLL]
    polling.polled(10.0, another_polls=True)
    polling.polled(10.9, another_polls=True)  # asked more often, it does not poll later
    assert polling.deadline() == 11.0
    assert list(everything(polling, 11.0)) == [PollingStep.POLL]
    polling.polled(11.0, another_polls=True)
    assert list(everything(polling, 12.0)) == [PollingStep.POLL]
    polling.polled(12.0, another_polls=False)
    assert list(everything(polling, 12.0)) == [PollingStep.STOP, PollingStep.POLL]
    assert polling.deadline() == float("inf")


def test_only_one_polls_fast() -> None:
    """Another collector keeps listening, and asks again after the same number of notifications."""
    polling = FastPolling()
    polling.notified(10.0, 25)
    assert list(everything(polling, 10.0, allowed=False)) == [PollingStep.START]
    assert not polling.is_polling
    assert polling.deadline() == float("inf")


def test_disconnected_collector_has_nothing_to_do() -> None:
    """The locks of a session end with it."""
    polling = fast()
    polling.disconnected()
    assert not polling.is_polling
    assert polling.deadline() == float("inf")
    assert list(everything(polling, 99.0)) == []


def test_25_notifications_in_a_quarter_of_a_second_are_enough() -> None:
    """Exactly 25 in exactly that time start fast polling. One that came a moment earlier does not count."""
    exact, late = FastPolling(), FastPolling()
    exact.notified(10.0, 1)
    exact.notified(10.25, 24)
    assert exact.next_step(10.25) is PollingStep.START
    late.notified(9.99, 1)
    late.notified(10.25, 24)
    assert late.next_step(10.25) is PollingStep.NOTHING


def test_notifies_other_sessions_at_its_deadline() -> None:
    """It does so at the moment that deadline() returns."""
    polling = fast()
    list(everything(polling, 10.02))
    polling.polled(10.02, another_polls=False)
    while polling.deadline() < 10.1:
        list(everything(polling, polling.deadline()))
    assert polling.deadline() == 10.1
    assert polling.next_step(10.1) is PollingStep.NOTIFY


def test_polls_every_second_while_such_inserts_are_in_progress() -> None:
    """Another role may hold the lock for hours. When it is released, the polls end."""
    polling = FastPolling()
    polling.connected(10.0)
    assert list(everything(polling, 10.0, all_ended=False)) == [PollingStep.STOP]
    assert polling.next_step(10.5) is PollingStep.STOP
    polling.stopped(10.5, 1.0, all_ended=False)
    assert polling.deadline() == 10.52
    for now in (11.0, 12.0):
        polling.stopped(now, 1.0, all_ended=False)
        assert polling.next_step(now) is PollingStep.POLL
        assert polling._poll_at == now + 1.0
    polling.stopped(12.5, 1.0, all_ended=True)
    assert polling.next_step(12.5) is PollingStep.POLL
    assert polling.deadline() == float("inf")
