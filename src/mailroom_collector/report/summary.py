"""Pure: what was done, in one line every few minutes while there is something to report.

Times are seconds of one monotonic clock. The caller gives them.
"""

from typing import Final, NamedTuple

from mailroom_runtime.words import counted, round_duration

_EVERY: Final = 300.0  # seconds


class Totals(NamedTuple):
    """What this process has done since its start."""

    rows: int  # printed
    lines: int
    stale: int  # not printed, because the token can't be mailed any more
    rejected: int  # failed, because they can't be signed or printed
    in_doubt: int  # may have been mailed twice


class SummaryPeriod(NamedTuple):
    """What was done in some seconds."""

    seconds: float
    done: Totals
    claimed: int
    """Rows that are claimed now, and that no sender is known to have begun."""

    @property
    def text(self) -> str:
        """Return the line for people."""
        others = [
            f"{count:,} {what}"
            for count, what in (
                (self.done.stale, "stale"),
                (self.done.rejected, "rejected"),
                (self.done.in_doubt, "may have been mailed twice"),
                (self.claimed, "still claimed"),
            )
            if count
        ]
        printed = f"printed {counted(self.done.rows, 'row')} in {counted(self.done.lines, 'line')}"
        return "; ".join([f"in {round_duration(self.seconds)}: {printed}", *others])


class CollectorSummary:
    """Reports how the totals grew since its last report."""

    def __init__(self, now: float) -> None:
        self._before = Totals(0, 0, 0, 0, 0)
        self._since = now
        self.due_at = float("inf")
        """When to report; infinity until something happens."""

    def found_rows(self, now: float) -> None:
        """Note that something was done: report it in a few minutes, unless a report is due earlier."""
        if self.due_at == float("inf"):
            self._since = now
            self.due_at = now + _EVERY

    def report(self, now: float, totals: Totals, claimed: int) -> SummaryPeriod | None:
        """Return what was done since the last report; None if nothing was done."""
        if self.due_at == float("inf"):
            return None
        done = Totals(*(after - before for after, before in zip(totals, self._before, strict=True)))
        seconds, self._before, self.due_at = now - self._since, totals, float("inf")
        return SummaryPeriod(seconds, done, claimed)
