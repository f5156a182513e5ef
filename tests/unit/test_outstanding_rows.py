"""How many rows a collector has outstanding, for readers of any speed.

A backlog without an end is simulated millisecond by millisecond, with a reader that takes rows at a rate that may
change. The controller sees only what the collector sees: which rows have left at a check.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from mailroom_collector.output.outstanding_rows import Departure, OutstandingRows

MS = 0.001
UNLIMITED = 1e9
CLAIM_MS = 2
"""Milliseconds from a claim until its rows are printed."""


def steady(rate: float) -> Callable[[float], float]:
    """Return a rate that does not change."""
    return lambda _: rate


@dataclass
class Simulation:
    """A collector and its reader. `rate` gives the reader's rows per second at a time; a call takes `call` rows."""

    rate: Callable[[float], float]
    call: int = 1
    outstanding: OutstandingRows = field(default_factory=lambda: OutstandingRows(10))
    now: float = 0.0
    held: int = 0
    """What the collector knows."""
    printed: int = 0
    """What the reader has and has not begun."""
    left: int = 0
    checks: int = 0
    total: int = 0
    starved: dict[float, float] = field(default_factory=dict)
    """For each time at which the reader wanted rows and had none, the seconds since it last had some."""
    most: dict[float, int] = field(default_factory=dict)
    """The outstanding rows at each time."""
    _credit: float = 0.0
    _claimed: list[tuple[float, int]] = field(default_factory=list)
    _had_rows_at: float = 0.0

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / MS)):
            self._read()
            self._collect()
            self.most[self.now] = self.printed + sum(rows for _, rows in self._claimed)
            self.now = round(self.now + MS, 6)

    def _read(self) -> None:
        self._credit = min(self._credit + self.rate(self.now) * MS, max(self.call, self.rate(self.now) * MS))
        while self._credit >= min(self.call, max(1, self.printed)) and self.printed:
            taken = min(self.call, self.printed)
            self._credit -= taken
            self.printed -= taken
            self.left += taken
            self.total += taken
        if self.printed or self._credit < 1:
            self._had_rows_at = self.now
        else:
            self.starved[self.now] = self.now - self._had_rows_at

    def _collect(self) -> None:
        while self._claimed and self._claimed[0][0] <= self.now:
            self.printed += self._claimed.pop(0)[1]
        if self.outstanding.wants_check(self.held) and self.now >= self.outstanding.check_at:
            self.checks += 1
            self.held -= self.left
            departure, self.left = Departure(self.left, self.printed == 0, 0.0005), 0
            self.outstanding.checked(self.held, departure, self.now)
        if not self._claimed and (rows := self.outstanding.room(self.held, self.now)):
            self._claimed.append((self.now + CLAIM_MS * MS, rows))
            self.held += rows
            self.outstanding.claimed(self.now, is_drained=False)

    def longest_starvation(self, since: float = 0.0) -> float:
        return max((seconds for at, seconds in self.starved.items() if at >= since), default=0.0)

    def most_outstanding(self, since: float, until: float = float("inf")) -> int:
        return max(rows for at, rows in self.most.items() if since <= at < until)


READERS = [(1, 1), (14, 1), (14, 14), (100, 50), (500, 14), (5000, 50)]
"""Rows per second, and rows in a call: spread over the second, or a second's worth at once."""


@pytest.mark.parametrize(("rate", "call"), READERS)
def test_reader_gets_its_rate_and_little_is_outstanding(rate: int, call: int) -> None:
    """After a second it is at most what leaves in a second, or two rows, or a bit more if calls take all of it."""
    simulation = Simulation(steady(rate), call)
    simulation.run(10.0)
    assert simulation.total >= 0.95 * 10 * rate - call
    settled = max(2, rate) if call < rate else 2 * call
    assert simulation.most_outstanding(since=1.0 if rate > 1 else 9.0) <= min(
        max(2 * 50, settled), max(settled, 0.4 * rate)
    )
    assert simulation.checks <= 10 * 25


@pytest.mark.parametrize(("rate", "call"), [(1, 1), (14, 1), (500, 14), (5000, 50)])
def test_reader_does_not_starve_after_the_start(rate: int, call: int) -> None:
    """At the start it waits for 20 ms at most, and a second later it does not wait any more."""
    simulation = Simulation(steady(rate), call)
    simulation.run(5.0)
    assert simulation.longest_starvation() <= 0.02
    assert simulation.longest_starvation(since=0.5) == 0.0


def test_unlimited_reader_gets_three_chunks() -> None:
    """What is outstanding doubles at each check, so a backlog has its full speed after some ms."""
    simulation = Simulation(steady(UNLIMITED))
    simulation.run(0.2)
    assert simulation.outstanding.target == simulation.outstanding.most == 4500
    assert simulation.outstanding.room(3000, simulation.now) == 1500
    assert simulation.total > 0.15 * 1500 / (CLAIM_MS * MS) / 2


def test_outstanding_follows_a_rate_that_falls() -> None:
    """Nothing is claimed until what is outstanding has left. Then it is a second's worth of the new rate."""
    simulation = Simulation(lambda now: 5000 if now < 3 else 14)
    simulation.run(3.0)
    assert simulation.held > 500
    simulation.run(150.0)
    assert simulation.outstanding.target == 14
    assert simulation.most_outstanding(since=simulation.now - 1) <= 14
    assert simulation.longest_starvation(since=3.0) == 0.0


def test_outstanding_follows_a_rate_that_rises() -> None:
    """The reader starves until the next check, a quarter of a second at most, and then has its full rate."""
    simulation = Simulation(lambda now: 14 if now < 5 else 5000)
    simulation.run(10.0)
    assert simulation.longest_starvation(since=5.0) <= 0.251
    assert simulation.longest_starvation(since=6.0) == 0.0
    assert simulation.total >= 0.9 * 5 * 5000


def test_reader_that_pauses_finds_rows_when_it_goes_on() -> None:
    """Meanwhile nothing is claimed, and it goes on at once."""
    simulation = Simulation(lambda now: 0 if 5 <= now < 65 else 14)
    simulation.run(5.0)
    total = simulation.total
    simulation.run(60.0)
    assert (simulation.total, simulation.outstanding.target) == (total, 2)
    assert simulation.most_outstanding(since=5.0) <= 14
    simulation.run(5.0)
    assert simulation.longest_starvation(since=1.0) == 0.0
    assert simulation.total >= total + 5 * 14 - 1


@pytest.mark.parametrize(("batch_limit", "first"), [(1, 2), (10, 10), (50, 50), (1000, 50)])
def test_start_is_one_line(batch_limit: int, first: int) -> None:
    """That is what an idle collector claims, too. It is two rows at least, and a call's worth at most."""
    assert OutstandingRows(batch_limit).room(0, 0.0) == first


@pytest.mark.parametrize(
    ("batch_limit", "largest", "most"),
    [(10, 1500, 4500), (400, 1200, 4500), (1501, 1501, 4503), (10_000, 10_000, 30_000)],
)
def test_largest_claim_is_whole_lines(batch_limit: int, largest: int, most: int) -> None:
    """Three chunks may be outstanding. A chunk is 1,500 rows, or a line if that is longer."""
    outstanding = OutstandingRows(batch_limit)
    assert (outstanding.largest_claim, outstanding.most) == (largest, most)


def backlog(target: int) -> OutstandingRows:
    """Return a controller during a backlog."""
    outstanding = OutstandingRows(10)
    outstanding.claimed(0.0, is_drained=False)
    outstanding.target = target
    return outstanding


@pytest.mark.parametrize(
    ("target", "held", "room"),
    [
        *((100, 0, 100), (100, 75, 20), (100, 88, 10), (100, 91, 0), (30, 25, 5), (30, 26, 4), (30, 27, 0)),
        *((14, 12, 2), (14, 13, 0), (2, 1, 1), (2, 2, 0), (2, 10, 0)),
        *((400, 375, 20), (4500, 0, 1500), (4500, 4490, 10)),
    ],
)
def test_claim_is_whole_lines_or_what_fits(target: int, held: int, room: int) -> None:
    """If there is room for less than an eighth of the target, nothing is claimed, unless there is room for a line."""
    assert backlog(target).room(held, 0.0) == room


def test_trickle_does_not_raise_what_is_outstanding() -> None:
    """A reader that takes all there is need not be fast. When a backlog comes, it begins small."""
    outstanding = OutstandingRows(10)
    for second in range(100):
        assert outstanding.room(0, second) == 10
        outstanding.claimed(second, is_drained=True)
        outstanding.checked(0, Departure(10, is_starved=True), second + 0.5)
    assert outstanding.target <= 20


def test_idle_collector_asks_a_few_times() -> None:
    """Then it waits until there is something to claim."""
    outstanding = OutstandingRows(1)
    outstanding.claimed(10.0, is_drained=True)
    asked = []
    while outstanding.wants_check(2) and outstanding.first_checks_at < float("inf"):
        asked.append(round(outstanding.first_checks_at - 10.0, 3))
        outstanding.checked(2, Departure(0, is_starved=False, seconds=0.001), outstanding.first_checks_at)
    assert asked == [0.005, 0.015, 0.035, 0.075, 0.155, 0.315]


def test_slow_checks_take_a_twentieth_of_the_time() -> None:
    """A statement of 5 ms is repeated after 100 ms, if the reader has rows for longer than that."""
    outstanding = backlog(2000)
    now = 0.0
    for _ in range(20):
        outstanding.checked(2000, Departure(round(5000 * 0.1), is_starved=False, seconds=0.005), now)
        now = outstanding.check_at
    assert outstanding.check_at == pytest.approx(now)
    before = now
    outstanding.checked(2000, Departure(500, is_starved=False, seconds=0.005), now)
    assert outstanding.check_at - before == pytest.approx(0.1)
