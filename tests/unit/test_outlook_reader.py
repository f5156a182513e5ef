"""How often the exporter and the live status read what waits by action. The test moves the clock."""

import pytest

from mailroom_collector.operations.metrics.outlook_reader import OutlookReader
from mailroom_collector.operations.queries.paced import Paced
from mailroom_collector.report.outlook import Outlook
from mailroom_runtime.errors import ConnectionLost, OperatorNeeded
from tests.support.clock import Clock
from tests.support.outlooks import Answers, outlook

FIRST, SECOND = outlook(late=1), outlook(late=2)


class SlowAnswers(Answers):
    """Each look for an answer takes some seconds."""

    def __init__(self, clock: Clock, seconds: float, *answers: Outlook | None) -> None:
        super().__init__(*answers)
        self._clock = clock
        self._seconds = seconds

    def answer(self, wait: float = 0.0) -> Outlook | None:
        self._clock.now += min(wait, self._seconds)
        return super().answer(wait)


def test_exporter_asks_again_after_50_times_the_answer() -> None:
    """Until then it serves the last answer."""
    clock = Clock(0.0)
    answers = SlowAnswers(clock, 0.1, FIRST, SECOND)
    reader = OutlookReader(answers, clock)
    assert (reader.read(), clock.now) == (FIRST, 0.1)
    clock.now = 5.0
    assert (reader.read(), answers.asked) == (FIRST, 1)
    clock.now = 5.2
    assert (reader.read(), answers.asked) == (SECOND, 2)


def test_scrape_does_not_wait_for_a_slow_answer() -> None:
    """A later scrape serves it, and the next question comes after a minute at the latest."""
    clock = Clock(0.0)
    answers = SlowAnswers(clock, 9.0, None, FIRST, SECOND)
    reader = OutlookReader(answers, clock)
    assert (reader.read(), clock.now) == (Outlook(), 1.0)
    clock.now = 15.0
    assert (reader.read(), answers.asked, clock.now) == (FIRST, 1, 16.0)
    clock.now = 75.9
    assert (reader.read(), answers.asked) == (FIRST, 1)
    clock.now = 76.0
    assert (reader.read(), answers.asked) == (SECOND, 2)


def test_lost_answer_is_asked_for_again_after_a_minute() -> None:
    """A missing right is an error, because only a person can help."""
    clock = Clock(0.0)
    reader = OutlookReader(Answers(ConnectionLost("gone"), FIRST), clock)
    assert reader.read() == Outlook()
    clock.now = 60.0
    assert reader.read() == FIRST
    with pytest.raises(OperatorNeeded):
        OutlookReader(Answers(OperatorNeeded("no right", "grant it")), clock).read()


def test_live_status_repeats_a_costly_query_seldom() -> None:
    """After 20 times its duration, or at once if it took none."""
    clock = Clock(0.0)
    paced = Paced[float](20, clock)

    def slow() -> float:
        clock.now += 0.5
        return clock.now

    assert [paced.read(slow), paced.read(slow)] == [0.5, 0.5]
    clock.now = 10.5
    assert paced.read(slow) == 11.0
    quick = Paced[float](20, clock)
    assert [quick.read(lambda: 1.0), quick.read(lambda: 2.0)] == [1.0, 2.0]
