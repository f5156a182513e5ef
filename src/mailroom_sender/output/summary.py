"""Pure: counts what was sent, for one line of the log every five minutes if something happened.

Times are seconds of one monotonic clock. The caller gives them.
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
"""Each time is counted at the nearest power of this: a few hundred counters, and an error of at most 3 %."""
_GROUPS: Final = (
    ("failed", "failed", (Outcome.NEVER,)),
    ("not_taken", "not taken now", (Outcome.LATER, Outcome.ONCE_MORE, Outcome.REFUSED, Outcome.HOLD)),
    ("in_doubt", "may have been mailed twice", (Outcome.UNKNOWN,)),
)
"""Outcomes that are counted together: the field in JSON, the words in the text, and the outcomes."""


@dataclass(frozen=True, slots=True)
class SummaryLine:
    """One line of the log, as text and as fields."""

    text: str
    fields: dict[str, Any]


class SenderSummary:
    """Counts rows by their outcome, and calls by the time until SES answered."""

    def __init__(self) -> None:
        self._since = 0.0
        self._outcomes: Counter[Outcome] = Counter()
        self._took: Counter[int] = Counter()
        self.sent = 0
        """Mails since the start."""
        self.due_at = float("inf")
        """When to call line(); infinity until something happens."""

    def add(self, now: float, verdicts: Sequence[Verdict], unfit: int, took: Sequence[float]) -> None:
        """Count rows by verdict, `unfit` rows that SES can never accept, and calls by the seconds until the answer."""
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
        """Return the line, and set the counts to 0. Return None when nothing happened."""
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
        """Return the milliseconds within which so many `calls` were answered."""
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
    return f"{ms:,.0f}" if ms >= 10 else f"{ms:.1f}"  # noqa: PLR2004 - more digits would not be exact
