"""The whole rate is used, against a model of SES and its bucket, on a simulated clock."""

import heapq
import itertools
from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.schedule.call_schedule import CallSchedule
from mailroom_sender.schedule.pace import Pace
from mailroom_sender.ses.verdict import Outcome, Verdict
from tests.support.rate_limit import RateLimit

SECONDS = 60.0
ROW = Row(MailAction.ACTIVATION, "a@b.example", "a", "", "", b"")
SENT = Verdict(Outcome.SENT)
THROTTLED = Verdict(Outcome.LATER, "Throttling", slower=True, throttled=True)


class Simulation:
    """Events on a simulated clock. Of each sender: its loop wakes late, and a call takes a while to SES and back."""

    def __init__(self, limit: RateLimit, seed: int) -> None:
        self.limit = limit
        self.random = Random(seed)
        self.now = 0.0
        self.sent: list[tuple[float, int]] = []  # when, recipients
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), what))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] < until:
            self.now, _, what = heapq.heappop(self._events)
            what()

    def share_used(self, since: float = 0.0) -> float:
        """Return the part of the rate that was used until now."""
        return sum(count for at, count in self.sent if at >= since) / self.limit.rate / (SECONDS - since)


class SimulatedSender:
    """Dispatches like CallDispatcher. It always has rows."""

    def __init__(self, world: Simulation, *, calls_at_once: int = 4, to_ses: float = 0.02, known: bool = True) -> None:
        self._world = world
        self._calls_at_once = calls_at_once
        self._to_ses = to_ses  # seconds for one way
        self._in_progress = 0
        self.schedule = CallSchedule(Pace(world.limit.rate) if known else Pace())
        self._wakes_at = float("inf")
        world.at(0.0, self._dispatch)

    def _dispatch(self) -> None:
        now = self._world.now
        while len(self.schedule) < 100:
            self.schedule.put(ROW, now)
        while self._in_progress < self._calls_at_once and self.schedule.call_at(now) <= now:
            count = len(self.schedule.take_batch(now))
            self._in_progress += 1
            jitter = self._world.random.uniform(0, 0.005)
            self._world.at(now + self._to_ses + jitter, partial(self._arrive, count, now))
        at = max(now, self.schedule.call_at(now))
        if self._in_progress < self._calls_at_once and at < self._wakes_at:
            self._wakes_at = at
            self._world.at(at + self._world.random.uniform(0.0005, 0.004), lambda: self._wake(at))

    def _wake(self, at: float) -> None:
        if at == self._wakes_at:  # else it was called off
            self._wakes_at = float("inf")
            self._dispatch()

    def _arrive(self, count: int, began: float) -> None:
        now = self._world.now
        verdict = THROTTLED
        if self._world.limit.takes(count, now):
            verdict = SENT
            self._world.sent.append((now, count))
        jitter = self._world.random.uniform(0, 0.005)
        self._world.at(now + self._to_ses + jitter, lambda: self._end(verdict, count, began))

    def _end(self, verdict: Verdict, count: int, began: float) -> None:
        now = self._world.now
        self._in_progress -= 1
        self.schedule.pace.note_call_time(now - began, self._calls_at_once)
        self.schedule.answered(ROW.action.name, [verdict] * count, now, self._world.random.random())
        if verdict.slower:
            self.schedule.pace.slow_down(now)
        self._dispatch()


@pytest.mark.parametrize("holds", [1.0, 0.1])
@pytest.mark.parametrize("rate", [1, 2, 14, 25, 90, 500, 5000])
def test_whole_rate_is_used(rate: int, holds: float) -> None:
    """At least 95 % of the rate is used in a minute, with a throttle at most, however little SES's bucket holds."""
    for seed in range(3):
        world = Simulation(RateLimit(rate, holds), seed)
        SimulatedSender(world, calls_at_once=8)
        world.run(SECONDS)
        assert world.share_used() >= 0.95
        assert world.limit.throttled <= 1


@pytest.mark.parametrize(("rate", "to_ses"), [(14, 0.2), (14, 0.5), (90, 0.2), (500, 0.15)])
def test_late_answers_make_larger_calls(rate: int, to_ses: float) -> None:
    """With SES on another continent four small calls at once would not use the rate."""
    world = Simulation(RateLimit(rate, 1.0), 1)
    SimulatedSender(world, to_ses=to_ses)
    world.run(SECONDS)
    assert world.share_used(since=10.0) >= 0.95
    assert world.limit.throttled <= 1


@pytest.mark.parametrize(
    ("rate", "holds"), [(2, 1.0), (14, 1.0), (90, 1.0), (500, 1.0), (30, 0.1), (90, 0.1), (500, 0.1)]
)
def test_senders_that_divide_the_rate_use_all_of_it(rate: int, holds: float) -> None:
    """Two senders with half of the rate each do as well as one.

    A bucket of SES that holds but one recipient lets them pass only when they happen to take turns.
    """
    world = Simulation(RateLimit(rate, holds), 1)
    for _ in range(2):
        SimulatedSender(world).schedule.pace.senders = 2
    world.run(SECONDS)
    assert world.share_used() >= 0.95
    assert world.limit.throttled <= 1


@pytest.mark.parametrize("holds", [1.0, 0.1])
@pytest.mark.parametrize("rate", [14, 90, 500])
def test_most_of_the_rate_is_used_beside_a_stranger(rate: int, holds: float) -> None:
    """Somebody else uses a third of the rate, and nothing says so. Throttling finds out, without a standstill."""
    world = Simulation(RateLimit(rate * 2 / 3, holds), 1)
    SimulatedSender(world).schedule.pace.most = rate
    world.run(SECONDS)
    assert world.share_used() >= 0.85
    assert world.limit.throttled <= SECONDS / 2


def test_unknown_rate_is_found() -> None:
    """Without a known rate, throttling alone sets the pace."""
    world = Simulation(RateLimit(50, 1.0), 1)
    SimulatedSender(world, known=False)
    world.run(SECONDS)
    assert world.share_used() >= 0.9
    assert world.limit.throttled <= SECONDS / 2
