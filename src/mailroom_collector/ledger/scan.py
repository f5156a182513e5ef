"""Pure: where in the order of due rows a claim begins, and how many rows it asks for.

Times are seconds of one monotonic clock, handed in by the caller.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

_FROM_START: Final = 1.0
"""Seconds after which a scan begins at the start again, where rows may have become due meanwhile."""


class Place(NamedTuple):
    """A row's place in the order in which rows are claimed."""

    due_at: datetime
    token: int


@dataclass(slots=True)
class Scan:
    """Where the next claim begins: behind the last one, so that the server does not pass the same rows again.

    Rows that become due in front of that place are found from the start: once a second, and before a drain ends.
    """

    _after: Place | None = field(default=None, init=False)
    _started_at: float = field(default=0.0, init=False)

    def begin(self, now: float) -> Place | None:
        """Return the place behind which to claim; None is the start."""
        if now >= self._started_at + _FROM_START:
            self._after = None
        if self._after is None:
            self._started_at = now
        return self._after

    def claimed(self, last: Place | None, *, full: bool) -> bool:
        """Note where a claim ended, and whether it got as many rows as it asked for; say whether nothing is due now."""
        was_from_start = self._after is None
        self._after = last if full else None
        return was_from_start and not full


@dataclass(slots=True)
class ChunkSize:
    """How many rows to claim at once: twice as many while the reader keeps up, half as many when it does not.

    Always a whole number of lines, so that only the last line of a backlog is short.
    """

    rows_per_line: int
    most_rows: int
    _lines: int = field(default=1, init=False)

    @property
    def rows(self) -> int:
        """Return the rows of the next claim."""
        return self._lines * self.rows_per_line

    @property
    def largest(self) -> int:
        """Return the rows that no claim exceeds."""
        return self.most_rows // self.rows_per_line * self.rows_per_line

    def kept_up(self) -> None:
        """The last chunk went out without waiting for the reader."""
        self._lines = max(1, min(self._lines * 2, self.most_rows // self.rows_per_line))

    def stalled(self) -> None:
        """The reader did not take the last chunk at once."""
        self._lines = max(1, self._lines // 2)
