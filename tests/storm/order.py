"""Pure: is a mail that goes first overtaken by mails of an import?

A recovery and a single sign-up go before the rows of imports, whether these were committed earlier or later. Only what
is outstanding when it is committed (claimed or being sent, by any pipeline) may still go before it, and a little more:
pipelines are not equally fast, and a collector looks for rows at the start of the queue once a second at least. After
that, no row of an import is claimed while it waits.

A mail is judged only as long as nothing but the order decides when it goes: while SES's rate is scarce, until it is
mailed, becomes stale or comes back itself, or until the pipeline that has claimed it is in trouble.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final

from tests.storm.history import NEVER, History, Step, Token, Trouble
from tests.storm.plan import PIPELINES, RATE

CALL: Final = 50  # rows
ALLOWANCE: Final = int(RATE) + CALL
"""Rows: a second of SES's rate, and a call."""
LATE: Final = 3.0
"""Seconds after which each collector has looked at the start of the queue. One claim may be on its way for longer."""
OUTSTANDING: Final = frozenset({"claimed", "sending"})


@dataclass
class Order:
    """What was judged, and what was wrong."""

    judged: int = 0
    until_mailed: int = 0  # of those judged, how many were judged until their mail
    most_outstanding: int = 0
    most_overtaking: int = 0
    longest_wait: float = 0.0  # seconds
    inversions: list[str] = field(default_factory=list)


def judge_order(history: History) -> Order:
    """Compare each mail that goes first with the imported ones that SES took while it waited."""
    order = Order()
    troubles = _until_working_again(history)
    outstanding = _Counter(history.steps)
    imported = [step.at for step in history.steps if step.state == "claimed" and history.tokens[step.token].is_imported]
    for token in sorted(history.tokens.values(), key=lambda token: token.committed):
        ends = _judged_until(history, token, troubles)
        if token.is_imported or ends <= token.committed:
            continue
        held = outstanding.at(token.committed)
        overtaking = sum(
            history.tokens[mail.token].is_imported for mail in history.mails_between(token.committed, ends)
        )
        order.judged += 1
        order.until_mailed += ends in history.mailed.get(token.id, [])
        order.most_outstanding = max(order.most_outstanding, held)
        order.most_overtaking = max(order.most_overtaking, overtaking)
        order.longest_wait = max(order.longest_wait, ends - token.committed)
        late = _claimed_late(history, token, ends, imported)
        order.inversions += _inversions(token, overtaking, held, late, ends - token.committed)
    return order


def _claimed_late(history: History, token: Token, ends: float, imported: list[float]) -> int:
    """Return how many imported rows were claimed when each collector should have claimed this token before."""
    waits_until = min([ends, *(step.at for step in history.steps_of.get(token.id, []))])
    return bisect_left(imported, waits_until) - bisect_right(imported, token.committed + LATE)


def _inversions(token: Token, overtaking: int, held: int, late: int, seconds: float) -> list[str]:
    """Return what is wrong with the place of a token among the mails and among the claims."""
    wrong = []
    if overtaking > held + ALLOWANCE:
        wrong.append(
            f"token {token.id} ({token.action}): {overtaking} imported mails went before it in {seconds:.1f} s,"
            f" and only {held} rows were outstanding"
        )
    if late > CALL:
        wrong.append(
            f"token {token.id} ({token.action}): {late} imported rows were claimed while it waited,"
            f" more than {LATE:g} s after its commit"
        )
    return wrong


class _Counter:
    """Counts the outstanding deliveries. It is asked in the order of time."""

    def __init__(self, steps: list[Step]) -> None:
        self._steps = steps
        self._next = 0
        self._held: set[int] = set()

    def at(self, now: float) -> int:
        """Return how many deliveries were claimed or being sent at a time."""
        while self._next < len(self._steps) and self._steps[self._next].at <= now:
            step = self._steps[self._next]
            (self._held.add if step.state in OUTSTANDING else self._held.discard)(step.token)
            self._next += 1
        return len(self._held)


def _judged_until(history: History, token: Token, troubles: dict[int | None, list[Trouble]]) -> float:
    """Return until when only the order decides when a token is mailed. At most its commit: it is not judged."""
    scarce_until = next((ends for begins, ends in history.scarce if begins <= token.committed < ends), 0.0)
    until = min([scarce_until, token.stale_since, token.expires, *history.mailed.get(token.id, [])])
    steps = history.steps_of.get(token.id, [])
    for step, expected in zip_longest(steps, ("claimed", "sending")):
        if step is None or step.at >= until:
            return until
        if step.state != expected:
            return min(until, step.at)
        hindered = [t.begins for t in troubles[step.pipeline] if t.begins < until and t.ends > step.at]
        until = min(until, max(step.at, min(hindered, default=until)))
    return until


def _until_working_again(history: History) -> dict[int | None, list[Trouble]]:
    """Return the troubles of each pipeline. Each lasts until the pipeline has claimed something, and then begun."""
    times: dict[tuple[int | None, str], list[float]] = defaultdict(list)
    for step in history.steps:
        times[step.pipeline, step.state].append(step.at)
    found: dict[int | None, list[Trouble]] = defaultdict(list)
    for trouble in history.troubles:
        for pipeline in range(PIPELINES) if trouble.pipeline is None else (trouble.pipeline,):
            ends = trouble.ends
            for state in ("claimed", "sending"):
                later = times[pipeline, state]
                place = bisect_right(later, ends)
                ends = later[place] if place < len(later) else NEVER
            found[pipeline].append(Trouble(trouble.begins, ends, pipeline))
    return found
