"""Pure: is a mail that goes first overtaken by mails of an import?

A recovery and a single sign-up go before the rows of imports, whether these were committed earlier or later. Only what
is in hand when it is committed (claimed or being sent, by any pipeline) may still go before it. Pipelines are not
equally fast, so another call of each may go before it too.

A mail is judged only as long as nothing but the order decides when it goes: while SES's rate is scarce, until it is
mailed, becomes stale or comes back itself, or until the pipeline that has claimed it is in trouble.
"""

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final

from tests.storm.history import NEVER, History, Step, Token, Trouble
from tests.storm.plan import PIPELINES

CALLS: Final = 50 * PIPELINES
"""Rows of a call of each pipeline."""
IN_HAND: Final = frozenset({"claimed", "sending"})


@dataclass
class Order:
    """What was judged, and what was wrong."""

    judged: int = 0
    until_mailed: int = 0  # of those judged, how many were judged until their mail
    most_in_hand: int = 0
    most_overtaking: int = 0
    longest_wait: float = 0.0  # seconds
    inversions: list[str] = field(default_factory=list)


def judge_order(history: History) -> Order:
    """Compare each mail that goes first with the imported ones that SES took while it waited."""
    order = Order()
    troubles = _until_working_again(history)
    in_hand = _Counter(history.steps)
    for token in sorted(history.tokens.values(), key=lambda token: token.committed):
        ends = _judged_until(history, token, troubles)
        if token.is_imported or ends <= token.committed:
            continue
        held = in_hand.at(token.committed)
        overtaking = sum(
            history.tokens[mail.token].is_imported for mail in history.mails_between(token.committed, ends)
        )
        order.judged += 1
        order.until_mailed += ends in history.mailed.get(token.id, [])
        order.most_in_hand = max(order.most_in_hand, held)
        order.most_overtaking = max(order.most_overtaking, overtaking)
        order.longest_wait = max(order.longest_wait, ends - token.committed)
        if overtaking > held + CALLS:
            order.inversions.append(
                f"token {token.id} ({token.action}): {overtaking} imported mails went before it"
                f" in {ends - token.committed:.1f} s, and only {held} rows were in hand"
            )
    return order


class _Counter:
    """Counts the deliveries in hand. It is asked in the order of time."""

    def __init__(self, steps: list[Step]) -> None:
        self._steps = steps
        self._next = 0
        self._held: set[int] = set()

    def at(self, now: float) -> int:
        """Return how many deliveries were claimed or being sent at a time."""
        while self._next < len(self._steps) and self._steps[self._next].at <= now:
            step = self._steps[self._next]
            (self._held.add if step.state in IN_HAND else self._held.discard)(step.token)
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
