"""How many recipients may be sent to, and when. test_pace_simulation.py has the whole of it, against a model of SES."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom_sender.schedule.pace import Pace

RATES = st.one_of(st.integers(1, 30), st.integers(1, 10_000))
SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=60)


def test_without_a_limit_nothing_waits() -> None:
    """An unknown rate causes no wait, and calls are as large as SES allows."""
    pace = Pace()
    for _ in range(100):
        assert (pace.batch(7), pace.opens_at(50, 7)) == (50, 7)
        pace.spend(50, 7)


@pytest.mark.parametrize(
    ("rate", "most"), [(0.5, 1), (1, 1), (14, 1), (41, 2), (100, 4), (500, 24), (1021, 50), (9e9, 50)]
)
def test_call_has_the_recipients_of_a_twentieth_of_a_second(rate: float, most: int) -> None:
    """It has one at least, and no more than SES takes in a call."""
    assert Pace(rate).batch(0.0) == most


def test_sandbox_sends_one_per_second() -> None:
    """At one recipient a second calls have one recipient, and are a second and a bit apart."""
    pace = Pace(1)
    assert (pace.batch(0), pace.opens_at(1, 0)) == (1, 0)
    pace.spend(1, 0)
    assert pace.opens_at(1, 0) == pytest.approx(1 / 0.98)


def calls(pace: Pace, sizes: list[int], start: float) -> Iterator[tuple[float, int]]:
    """Yield time and size of calls that are made as soon as they may be."""
    now = start
    for size in sizes:
        recipients = min(size, pace.batch(now))
        now = pace.opens_at(recipients, now)
        pace.spend(recipients, now)
        yield now, recipients


@given(rate=RATES, sizes=SIZES, start=st.floats(0, 1e6), ahead=st.integers(0, 59))
def test_rate_holds_over_any_period(rate: int, sizes: list[int], start: float, ahead: int) -> None:
    """Whatever the sizes, a bucket of SES that holds a tenth of a second, or one recipient, is never overrun."""
    made = list(calls(Pace(rate), sizes, start))[ahead:]
    sent = 0
    for now, recipients in made:
        sent += recipients
        assert sent <= max(1, rate / 10) + rate * (now - made[0][0]) + 0.01


@given(rate=RATES, sizes=SIZES, start=st.floats(0, 1e6))
def test_rate_is_reached(rate: int, sizes: list[int], start: float) -> None:
    """Calls that are made as soon as allowed use 98 % of the rate, whatever their sizes."""
    made = list(calls(Pace(rate), sizes, start))
    assert sum(recipients for _, recipients in made) >= 0.98 * rate * (made[-1][0] - start) - 0.01


@pytest.mark.parametrize(("rate", "late"), [(14, 0.01), (90, 0.018), (5000, 0.018)])
def test_program_that_wakes_late_catches_up(rate: int, late: float) -> None:
    """The bucket holds a little more than a call."""
    pace, now, sent = Pace(rate), 0.0, 0
    for _ in range(1000):
        now = pace.opens_at(pace.batch(now), now) + late
        pace.spend(pace.batch(now), now)
        sent += pace.batch(now)
        while pace.opens_at(pace.batch(now), now) <= now:
            pace.spend(pace.batch(now), now)
            sent += pace.batch(now)
    assert sent >= 0.98 * rate * now - pace.batch(now)


def test_rate_is_divided_among_senders() -> None:
    """Calls become smaller too."""
    pace = Pace(1000, senders=4)
    assert pace.rate(0.0) == pytest.approx(245)
    assert pace.batch(0.0) == 12


def test_late_answers_make_calls_larger() -> None:
    """Four calls at once that take 0.8 s each have to have 0.2 s of the rate, and some more.

    For a minute after throttling, calls are small in any case.
    """
    pace = Pace(100)
    for _ in range(50):
        pace.note_call_time(0.8, 4)
    assert pace.batch(100.0) == 24
    for _ in range(50):
        pace.note_call_time(60.0, 4)
    assert pace.batch(100.0) == 49
    pace.slow_down(100.0)
    assert (pace.batch(130.0), pace.batch(159.9), pace.batch(160.0)) == (4, 4, 49)


def test_throttling_takes_a_tenth_of_the_rate_for_a_while() -> None:
    """The rate is whole again ten seconds later."""
    pace = Pace(100)
    assert pace.slow_down(100.0)
    assert [round(pace.rate(at), 1) for at in (100.0, 105.0, 110.0, 200.0)] == [88.2, 93.1, 98.0, 98.0]


@pytest.mark.parametrize("is_soon", [True, False])
def test_throttling_that_goes_on_halves_the_rate(is_soon: bool) -> None:
    """That is, if it comes again within three seconds. The rate is whole again after twenty seconds."""
    pace = Pace(100)
    pace.slow_down(100.0)
    again = 102.9 if is_soon else 103.0
    before = pace.rate(again)
    assert pace.slow_down(again)
    assert pace.rate(again) == pytest.approx(before * (0.5 if is_soon else 0.9))
    assert pace.rate(again + 10.0) == pytest.approx(before)
    assert pace.rate(again + 20.0) == pytest.approx(98)


def test_failure_of_ses_halves_the_rate_at_once() -> None:
    """SES may be overloaded."""
    pace = Pace(100)
    assert pace.slow_down(100.0, much=True)
    assert (pace.rate(100.0), pace.rate(110.0)) == (49, 98)


def test_unknown_rate_is_halved_and_rises_without_end() -> None:
    """The rate of the last second is halved. It doubles every ten seconds, so it is soon no limit any more."""
    pace = Pace()
    pace.spend(50, 100.0)
    pace.spend(50, 100.2)
    assert pace.slow_down(100.3)
    assert pace.opens_at(50, 100.3) > 101
    assert [pace.rate(100.3 + later) for later in (0, 10, 20, 60)] == pytest.approx([50, 100, 200, 3200])
    assert pace.rate(10_000.0) > 1e9


def test_throttling_never_stops_everything() -> None:
    """One recipient per second is always sent to."""
    pace = Pace(10)
    for second in range(100):
        pace.slow_down(float(2 * second))
    assert pace.rate(198.0) >= 1
    assert pace.opens_at(1, 198.0) <= 199


@pytest.mark.parametrize(("first_at", "rate"), [(100.0, 55), (99.9, 25)])
def test_unknown_rate_is_that_of_the_last_second(first_at: float, rate: float) -> None:
    """It is at least fifty per second."""
    pace = Pace()
    pace.spend(70, first_at)
    pace.spend(40, 101.0)
    assert pace.slow_down(101.0)
    assert pace.rate(101.0) == rate


def test_rate_is_lowered_once_per_second() -> None:
    """A second later another throttled call counts."""
    pace = Pace(400)
    assert [pace.slow_down(at) for at in (100.0, 100.9, 101.0, 102.5)] == [True, False, True, True]


def test_throttling_leaves_no_burst() -> None:
    """The next recipient waits for its share of a second."""
    pace = Pace(100)
    pace.slow_down(100.0)
    assert pace.opens_at(1, 100.0) == pytest.approx(100.0 + 1 / 88.2)
