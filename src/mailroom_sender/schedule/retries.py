"""Pure: how often a row is tried, and the wait before the next try."""

from typing import Final

from mailroom_runtime.backoff import backoff as exponential
from mailroom_sender.ses.holds import Hold, Scope
from mailroom_sender.ses.verdict import Outcome, Verdict

_FIRST: Final = 1.0  # seconds
_CAP: Final = 60.0  # seconds: a token lives 15 minutes, so it gets a dozen tries
_HELD: Final = 4
"""A held row waits as long as after so many attempts, 4 to 8 s, because a probe is made at least every 15 s."""
_SPREAD: Final = 3.0
"""A row that is given back waits for up to so many more probes. So the rows of an import do not come all at once."""
MOST_ATTEMPTS: Final = 12
"""Tries of a row by a sender without a database, which makes about eight minutes."""
MOST_REFUSALS: Final = 4
"""The same for a row that SES refuses alone while it accepts no other row. That makes some seconds."""


def backoff(attempt: int, random: float) -> float:
    """Return the seconds before a row is tried again after its attempt number `attempt` (from 1)."""
    return exponential(attempt, random, first=_FIRST, cap=_CAP)


def most_attempts(verdict: Verdict) -> int:
    """Return how often a sender without a database tries a row with this verdict before it keeps it in a file."""
    return MOST_REFUSALS if verdict.outcome is Outcome.REFUSED else MOST_ATTEMPTS


def delay_after(verdict: Verdict, attempt: int, random: float) -> float:
    """Return the seconds before a row with this verdict is tried again; `random` is from 0 to 1."""
    return backoff(_HELD if verdict.outcome is Outcome.HOLD else attempt, random)


def delay_of_given_back(hold: Hold, probe: float, random: float) -> float:
    """Return the seconds before a held row that is given back is due. `probe` is the time between two probes.

    If all calls of this sender are held, another sender may have another account, so the row waits 4 to 8 s. If the
    action is held, it is held everywhere, and the row waits for 1 to 4 probes.
    """
    shortest = backoff(_HELD, random)
    return shortest if hold.scope is Scope.ACCOUNT else max(shortest, probe * (1.0 + _SPREAD * random))
