"""How many recipients may be sent to, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom_sender.schedule.pace import Pace


def test_without_a_limit_nothing_waits() -> None:
    """An unknown rate causes no wait."""
    pace = Pace()
    for _ in range(100):
        assert pace.opens_at(50, 7) == 7
        pace.spend(50, 7)


@pytest.mark.parametrize(("rate", "most"), [(1, 1), (14, 14), (49, 49), (50, 50), (500, 50), (float("inf"), 50)])
def test_call_has_the_recipients_of_a_second_up_to_the_limit_of_ses(rate: float, most: int) -> None:
    """Smaller calls would be more calls. Larger ones would wait longer."""
    assert Pace(rate).batch(0.0) == most


def test_sandbox_sends_one_per_second() -> None:
    """At one recipient per second, calls have one recipient and are a second apart."""
    pace = Pace(1)
    assert pace.batch(0) == 1
    assert pace.opens_at(1, 0) == 0
    pace.spend(1, 0)
    assert pace.opens_at(1, 0) == 1


@given(rate=st.integers(1, 500), sizes=st.lists(st.integers(1, 50), min_size=1, max_size=60), start=st.floats(0, 1e6))
def test_rate_holds_over_any_period(rate: int, sizes: list[int], start: float) -> None:
    """Whatever the order of calls, only a burst of one second and the rate are sent."""
    pace = Pace(rate)
    now = start
    gone = 0
    for size in sizes:
        recipients = min(size, pace.batch(now))
        now = pace.opens_at(recipients, now)
        pace.spend(recipients, now)
        gone += recipients
        assert gone <= rate * (1 + now - start) + 0.01


@given(rate=st.integers(1, 500), sizes=st.lists(st.integers(1, 50), min_size=1, max_size=60), start=st.floats(0, 1e6))
def test_rate_is_reached(rate: int, sizes: list[int], start: float) -> None:
    """Calls that are made as soon as allowed use the whole rate, whatever their sizes."""
    pace = Pace(rate)
    now = start
    gone = 0
    for size in sizes:
        recipients = min(size, pace.batch(now))
        now = pace.opens_at(recipients, now)
        pace.spend(recipients, now)
        gone += recipients
    assert gone >= rate * (now - start) - 0.01


@pytest.mark.parametrize("rate", [1, 14, 500])
def test_rate_is_reached_again_after_a_pause_and_after_throttling(rate: int) -> None:
    """A minute later everything is forgotten: the next minute has a minute's mails."""
    pace = Pace(rate)
    pace.spend(pace.batch(0.0), 0.0)
    assert pace.throttled(1.0)
    now, gone = 61.0, 0
    while (at := pace.opens_at(pace.batch(now), now)) <= 121.0:
        now = at
        pace.spend(pace.batch(now), now)
        gone += pace.batch(now)
    assert 60 * rate <= gone + pace.batch(now) <= 61 * rate + pace.batch(now)


@pytest.mark.parametrize(("most", "after"), [(100.0, 100.0), (float("inf"), 50 * 2**9.97)], ids=["known", "not known"])
def test_throttling_halves_the_rate_for_a_while(most: float, after: float) -> None:
    """After a throttled call the rate, or the measured rate if it is unknown, is halved.

    It doubles every ten seconds.
    """
    pace = Pace(most)
    pace.spend(50, 100.0)
    pace.spend(50, 100.2)
    assert pace.throttled(100.3)
    assert pace.rate(100.3) == 50
    assert not pace.throttled(100.4)
    assert pace.opens_at(50, 100.3) > 101
    assert pace.rate(110.3) == 100
    assert pace.rate(200.0) == pytest.approx(after)


def test_throttling_never_stops_everything() -> None:
    """One recipient per second is always sent to."""
    pace = Pace(10)
    for second in range(100):
        pace.throttled(float(2 * second))
    assert pace.rate(198.0) >= 1
    assert pace.opens_at(1, 198.0) <= 199


def test_unknown_rate_is_unlimited_a_minute_after_throttling() -> None:
    """The effect of throttling decreases step by step."""
    pace = Pace()
    pace.spend(1, 0)
    pace.throttled(0)
    assert (pace.rate(0), pace.rate(60)) == (25, 1600)


@pytest.mark.parametrize(("first_at", "rate"), [(100.0, 55), (99.9, 25)])
def test_unknown_rate_is_that_of_the_last_second(first_at: float, rate: float) -> None:
    """It is at least fifty per second."""
    pace = Pace()
    pace.spend(70, first_at)
    pace.spend(40, 101.0)
    assert pace.throttled(101.0)
    assert pace.rate(101.0) == rate


def test_rate_is_halved_once_per_second() -> None:
    """A second later another throttled call counts."""
    pace = Pace(400)
    assert [pace.throttled(at) for at in (100.0, 100.9, 101.0, 102.5)] == [True, False, True, True]


def test_throttling_leaves_no_burst() -> None:
    """The next recipient waits for its share of a second."""
    pace = Pace(100)
    pace.throttled(100.0)
    assert pace.opens_at(1, 100.0) == 100.0 + 1 / 50
