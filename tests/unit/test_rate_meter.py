"""How many rows leave a second."""

import pytest

from mailroom_collector.output.rate_meter import RateMeter


def meter(*counts: tuple[float, int]) -> RateMeter:
    """Return a meter with these counts: the time, and the rows that left since the count before."""
    meter = RateMeter()
    for now, rows in counts:
        meter.count(rows, now)
    return meter


def steady(rate: float, step: float, seconds: float) -> list[tuple[float, int]]:
    return [(n * step, round(rate * step)) for n in range(1, round(seconds / step) + 1)]


def test_nothing_was_counted() -> None:
    """The rate is 0."""
    assert (RateMeter().rate(5.0), RateMeter().latest(5.0)) == (0.0, 0.0)


@pytest.mark.parametrize(("rate", "step"), [(4, 0.25), (1000, 0.05), (100_000, 0.01)])
def test_steady_rate_is_seen(rate: int, step: float) -> None:
    """It is measured to a twentieth."""
    assert meter(*steady(rate, step, 10)).rate(10.0) == pytest.approx(rate, rel=0.05)
    assert meter(*steady(rate, step, 10)).latest(10.0) == pytest.approx(rate)


def test_first_second_gives_no_high_rate() -> None:
    """Ten rows within 5 ms may be all that a reader takes in a second."""
    assert meter((0.005, 10)).rate(0.005) == 10.0
    assert meter((0.005, 10)).latest(0.005) == 2000.0


def test_calls_of_a_whole_second_are_a_steady_rate() -> None:
    """The sender makes a call of 14 rows a bit less often than once a second."""
    counts = [(n * 0.1, 14 if n % 11 == 0 else 0) for n in range(1, 200)]
    given = RateMeter()
    rates = []
    for now, rows in counts:
        given.count(rows, now)
        rates.append(given.rate(now))
    assert min(rates[50:]) >= 7.0
    assert max(rates[50:]) <= 14.0


def test_high_rate_is_forgotten_after_a_second() -> None:
    """It does not count as a low rate over a longer time."""
    given = meter(*steady(5000, 0.05, 3))
    for n in range(1, 25):
        given.count(0, 3 + n * 0.05)
    assert given.rate(3 + 24 * 0.05) == 0.0


def test_rows_that_left_since_a_count_long_ago_are_a_low_rate() -> None:
    """Nobody asked meanwhile. The rate goes on falling until somebody asks again."""
    given = meter((0.0, 0), (100.0, 50))
    assert given.rate(100.0) == pytest.approx(0.5)
    assert given.rate(200.0) == pytest.approx(0.25)


def test_old_counts_are_dropped() -> None:
    """Memory does not grow."""
    assert len(meter(*steady(100, 0.01, 20))._samples) <= 401
