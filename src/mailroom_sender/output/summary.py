"""Pure: what was sent, in one line every few minutes while there is something to tell.

Times are seconds of one monotonic clock, handed in by the caller.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from mailroom_runtime.words import counted, spell
from mailroom_sender.ses.verdict import Outcome, Verdict

_EVERY: Final = 300.0  # seconds
_STEP: Final = 1.05
"""A time is kept as the power of this that it is nearest to: a few hundred counters, and 3 % off at most."""
_WORDS: Final = (
    ((Outcome.NEVER,), "failed"),
    ((Outcome.LATER, Outcome.ONCE_MORE, Outcome.REFUSED, Outcome.HOLD), "not taken now"),
    ((Outcome.UNKNOWN,), "perhaps mailed twice"),
)


class SenderSummary:
    """Counts rows by what became of them, and how long SES took to answer."""

    def __init__(self) -> None:
        self._since = 0.0
        self._outcomes: Counter[Outcome] = Counter()
        self._took: Counter[int] = Counter()
        self.sent = 0
        """Mails since the start."""
        self.due_at = float("inf")
        """When to tell; never, as long as nothing happens."""

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

    def tell(self, now: float) -> str:
        """Return the line, and count from nothing; empty when nothing happened."""
        if self.due_at == float("inf"):
            return ""
        parts = [f"in {spell(now - self._since)}: sent {self._outcomes[Outcome.SENT]:,}"]
        for outcomes, words in _WORDS:
            if count := sum(self._outcomes[outcome] for outcome in outcomes):
                parts.append(f"{count:,} {words}")
        if calls := self._took.total():
            half, most = (self._ms(calls * part) for part in (0.5, 0.95))
            told = f"SES answered {counted(calls, 'call')}, half of them within {half} ms, 95 % within {most} ms"
            parts.append(told if calls > 1 else f"SES answered 1 call, within {half} ms")
        self._outcomes.clear()
        self._took.clear()
        self.due_at = float("inf")
        return "; ".join(parts)

    def _ms(self, calls: float) -> str:
        """Return the milliseconds within which so many calls were answered."""
        seen = 0
        for step in sorted(self._took):
            seen += self._took[step]
            if seen >= calls:
                ms = _STEP**step * 1000
                return f"{ms:,.0f}" if ms >= 10 else f"{ms:.1f}"  # noqa: PLR2004 - no more digits than are sure
        return "0"
