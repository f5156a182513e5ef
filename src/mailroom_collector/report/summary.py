"""Pure: what was done, in one line every few minutes while there is something to tell.

Times are seconds of one monotonic clock, handed in by the caller.
"""

from typing import Final, NamedTuple

from mailroom_runtime.words import counted, spell

_EVERY: Final = 300.0  # seconds


class Totals(NamedTuple):
    """What this process has done since its start."""

    rows: int  # printed
    lines: int
    stale: int  # not printed, as the token is no longer good
    aside: int  # failed, as they can't be printed
    doubts: int  # perhaps mailed twice


class CollectorSummary:
    """Tells what came to the totals since it last told."""

    def __init__(self, now: float) -> None:
        self._before = Totals(0, 0, 0, 0, 0)
        self._since = now
        self.due_at = float("inf")
        """When to tell; never, as long as nothing happens."""

    def happened(self, now: float) -> None:
        """Something was done: to be told in a few minutes, if it is not yet to be."""
        if self.due_at == float("inf"):
            self._since = now
            self.due_at = now + _EVERY

    def tell(self, now: float, totals: Totals, in_hand: int) -> str:
        """Return the line, empty when nothing was done; `in_hand` are rows claimed and not known to be begun."""
        if self.due_at == float("inf"):
            return ""
        new = Totals(*(after - before for after, before in zip(totals, self._before, strict=True)))
        seconds, self._before, self.due_at = now - self._since, totals, float("inf")
        others = [
            f"{count:,} {what}"
            for count, what in (
                (new.stale, "stale"),
                (new.aside, "set aside"),
                (new.doubts, "perhaps mailed twice"),
                (in_hand, "in hand"),
            )
            if count
        ]
        printed = f"printed {counted(new.rows, 'row')} in {counted(new.lines, 'line')}"
        return "; ".join([f"in {spell(seconds)}: {printed}", *others])
