"""Pure: is a mail that goes first overtaken by mails of an import?

A recovery and a single sign-up go before the rows of imports, whether these were committed earlier or later. What is in
hand when it is committed (claimed or being sent, by any pipeline) may still go before it, and so may what has come
back: a retry, or a row whose lease ran out. Pipelines are not equally fast, so another call of each may go before it.

A mail is judged only if nothing but the order decided when it went: SES's rate was scarce all the time, the mail was
claimed and begun once, and its pipeline was in no trouble.
"""

from collections import defaultdict
from dataclasses import dataclass, field
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
        if token.is_imported or not _is_judged(history, token, troubles):
            continue
        (mailed,) = history.mailed[token.id]
        held = in_hand.at(token.committed)
        overtaking = [
            mail
            for mail in history.mails_between(token.committed, mailed)
            if history.tokens[mail.token].is_imported and not _came_back(history, mail.token, token.committed)
        ]
        order.judged += 1
        order.most_in_hand = max(order.most_in_hand, held)
        order.most_overtaking = max(order.most_overtaking, len(overtaking))
        order.longest_wait = max(order.longest_wait, mailed - token.committed)
        if len(overtaking) > held + CALLS:
            order.inversions.append(
                f"token {token.id} ({token.action}): {len(overtaking)} imported mails went before it"
                f" in {mailed - token.committed:.1f} s, and only {held} rows were in hand"
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


def _is_judged(history: History, token: Token, troubles: dict[int | None, list[Trouble]]) -> bool:
    mails = history.mailed.get(token.id, [])
    steps = [step for step in history.steps_of.get(token.id, []) if step.state in IN_HAND]
    if token.committed == NEVER or len(mails) != 1 or [step.state for step in steps] != ["claimed", "sending"]:
        return False
    if not any(begins <= token.committed and mails[0] <= ends for begins, ends in history.scarce):
        return False
    return not any(
        trouble.begins < mails[0] and trouble.ends > token.committed for trouble in troubles[steps[0].pipeline]
    )


def _came_back(history: History, token: int, now: float) -> bool:
    """Return whether a row had been in hand before this time, was not any more, and was mailed later."""
    claims = [step for step in history.steps_of.get(token, []) if step.state in IN_HAND]
    return bool(claims) and claims[0].at <= now and history.state_at(token, now) not in IN_HAND


def _until_working_again(history: History) -> dict[int | None, list[Trouble]]:
    """Return the troubles of each pipeline. Each lasts until the pipeline has claimed something, and then begun."""
    steps: dict[int | None, list[Step]] = defaultdict(list)
    for step in history.steps:
        steps[step.pipeline].append(step)
    found: dict[int | None, list[Trouble]] = defaultdict(list)
    for trouble in history.troubles:
        for pipeline in range(PIPELINES) if trouble.pipeline is None else (trouble.pipeline,):
            ends = trouble.ends
            for state in ("claimed", "sending"):
                ends = next((s.at for s in steps[pipeline] if s.at > ends and s.state == state), NEVER)
            found[pipeline].append(Trouble(trouble.begins, ends, pipeline))
    return found
