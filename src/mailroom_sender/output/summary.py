"""Pure: what was sent, in one line every few minutes while something happens.

Times are seconds of one monotonic clock, handed in by the caller.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mailroom_runtime.words import counted, round_duration
from mailroom_sender.ses.verdict import Outcome, Verdict

_EVERY: Final = 300.0  # seconds
_STEP: Final = 1.05
"""A time is kept as the power of this that it is nearest to: a few hundred counters, and 3 % off at most."""
_GROUPS: Final = (
    ("failed", "failed", (Outcome.NEVER,)),
    ("not_taken", "not taken now", (Outcome.LATER, Outcome.ONCE_MORE, Outcome.REFUSED, Outcome.HOLD)),
    ("in_doubt", "may have been mailed twice", (Outcome.UNKNOWN,)),
)
"""Rows that are counted together: their field in JSON, their words, and their outcomes."""


@dataclass(frozen=True, slots=True)
class SummaryLine:
    """One line of the log: its text, and the same as fields."""

    text: str
    fields: dict[str, Any]


class SenderSummary:
    """Counts rows by what became of them, and how long SES took to answer."""

    def __init__(self) -> None:
        self._since = 0.0
        self._outcomes: Counter[Outcome] = Counter()
        self._took: Counter[int] = Counter()
        self.sent = 0
        """Mails since the start."""
        self.due_at = float("inf")
        """When to call line(); never, as long as nothing happens."""

    def add(self, now: float, verdicts: Sequence[Verdict], unfit: int, took: Sequence[float]) -> None:
        """Count rows by their verdicts, rows that SES can never take, and calls by the seconds until their answer."""
        if not verdicts and not unfit:
            return
        if self.due_at == float("inf"):
            self._since = now
            self.due_at = now + _EVERY
        counts = Counter(verdict.outcome for verdict in verdicts)
        counts[Outcome.NEVER] += unfit
        self._outcomes.update(counts)
        self._took.update(round(math.log(max(seconds, 1e-4), _STEP)) for seconds in took)
        self.sent += counts[Outcome.SENT]

    def line(self, now: float) -> SummaryLine | None:
        """Return the line, and count from nothing; None when nothing happened."""
        if self.due_at == float("inf"):
            return None
        sent = self._outcomes[Outcome.SENT]
        parts = [f"in {round_duration(now - self._since)}: sent {sent:,}"]
        fields: dict[str, Any] = {"for_s": round(now - self._since, 1), "sent": sent}
        for name, words, outcomes in _GROUPS:
            fields[name] = sum(self._outcomes[outcome] for outcome in outcomes)
            if fields[name]:
                parts.append(f"{fields[name]:,} {words}")
        if calls := self._took.total():
            half, most = (self._ms(calls * part) for part in (0.5, 0.95))
            fields |= {"calls": calls, "median_ms": round(half, 1), "p95_ms": round(most, 1)}
            parts.append(_calls_text(calls, half, most))
        self._outcomes.clear()
        self._took.clear()
        self.due_at = float("inf")
        return SummaryLine("; ".join(parts), fields)

    def _ms(self, calls: float) -> float:
        """Return the milliseconds within which so many calls were answered."""
        seen = 0
        for step in sorted(self._took):
            seen += self._took[step]
            if seen >= calls:
                return float(_STEP**step * 1000)
        return 0.0


def _calls_text(calls: int, half: float, most: float) -> str:
    if calls == 1:
        return f"SES answered 1 call, within {_digits(half)} ms"
    within = f"half of them within {_digits(half)} ms, 95 % within {_digits(most)} ms"
    return f"SES answered {counted(calls, 'call')}, {within}"


def _digits(ms: float) -> str:
    return f"{ms:,.0f}" if ms >= 10 else f"{ms:.1f}"  # noqa: PLR2004 - no more digits than are sure
