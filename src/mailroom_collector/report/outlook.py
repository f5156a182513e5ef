"""Pure: what waits, by action, and what of it will be late, in figures and in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mailroom_runtime.words import counted, round_duration, visible

_ROUNDED_FROM: Final = 9.95
"""A rate from this on is written as a whole number."""


@dataclass(frozen=True, slots=True)
class ActionOutlook:
    """What waits of one action (mailroom_outlook). All times are by the database's clock."""

    action: str | None
    """None: the tokens are gone."""
    waiting: int
    claimed: int
    """How many of the waiting a collector has claimed, and no sender has begun."""
    oldest_s: float | None
    """For how many seconds the oldest valid token has waited; None without any."""
    late: int
    """How many of the waiting expire before their turn."""
    new_wait_s: float | None
    """How many seconds a new single token would wait; None: the rate is 0 or not known."""
    late_from: datetime | None
    """From when on a new token would expire before its turn; None: never, or not known."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What waits in a queue."""

    actions: Sequence[ActionOutlook] = ()
    rate_per_s: float | None = None
    """Mails a second; None if it is not known."""

    @property
    def waiting(self) -> int:
        """Return how many deliveries wait."""
        return sum(one.waiting for one in self.actions)

    @property
    def late(self) -> int:
        """Return how many of them expire before their turn."""
        return sum(one.late for one in self.actions)


def late_words(outlook: Outlook) -> str:
    """Return how many mails will be late, in a sentence without its period."""
    expire = "expires before its turn" if outlook.late == 1 else "expire before their turn"
    late = f"{outlook.late:,} of {counted(outlook.waiting, 'waiting mail')} {expire}"
    if not outlook.rate_per_s:
        return f"nothing was sent in the last 30 s; if that goes on, {late}"
    return f"at {rate_words(outlook.rate_per_s)}, {late}"


def new_words(outlook: Outlook) -> list[str]:
    """Return sentences without their periods: how soon new mails go, and which new mails would be late."""
    words = []
    known = [(one.new_wait_s, one) for one in outlook.actions if one.new_wait_s is not None and one.late_from is None]
    if known:
        wait, first = min(reversed(known), key=lambda pair: pair[0])  # of equals a recovery, not an activation
        words.append(f"a new {visible(first.action or '')} is mailed within {round_duration(max(1, math.ceil(wait)))}")
    for one in outlook.actions:
        if one.late_from is not None:
            words.append(f"a new {visible(one.action or '')} expires unsent if it is inserted {_from(one.late_from)}")
    return words


def sentences(parts: Sequence[str]) -> str:
    """Return the parts as sentences."""
    return " ".join(f"{part[:1].upper()}{part[1:]}." for part in parts)


def rate_words(rate_per_s: float) -> str:
    """Return a rate: '14 mails a second', '0.3 mails a second'."""
    number = f"{rate_per_s:,.0f}" if rate_per_s >= _ROUNDED_FROM else f"{rate_per_s:.2g}"
    return f"{number} {'mail' if number == '1' else 'mails'} a second"


def _from(moment: datetime) -> str:
    return f"after {moment.astimezone(UTC).strftime('%Y-%m-%d %H:%M')} UTC"
