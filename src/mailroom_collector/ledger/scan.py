"""Pure: where in the order of due rows a claim begins, and how many rows it asks for.

Times are monotonic seconds that the caller passes.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

_FROM_START: Final = 1.0
"""Seconds after which a scan begins at the start again, because rows may have become due there."""


class Place(NamedTuple):
    """A row's place in the order in which rows are claimed."""

    due_at: datetime
    token: int


@dataclass(slots=True)
class Scan:
    """The place where the next claim begins: behind the last claim, so that the server skips no row twice.

    Rows may become due before that place. So a claim begins at the start once a second, and before a drain ends.
    """

    _after: Place | None = field(default=None, init=False)
    _started_at: float = field(default=0.0, init=False)

    def begin(self, now: float) -> Place | None:
        """Return the place behind which to claim; None means from the start."""
        if now >= self._started_at + _FROM_START:
            self._after = None
        if self._after is None:
            self._started_at = now
        return self._after

    def claimed(self, last: Place | None, *, full: bool) -> bool:
        """Note the last row of a claim. Return whether nothing more is due.

        `full`: the claim got as many rows as it asked for.
        """
        was_from_start = self._after is None
        self._after = last if full else None
        return was_from_start and not full


@dataclass(slots=True)
class ChunkSize:
    """The number of rows in the next claim. It doubles while the reader keeps up, and halves when it does not.

    It is always a whole number of lines, so that only the last line of a backlog is short.
    """

    rows_per_line: int
    most_rows: int
    _lines: int = field(default=1, init=False)

    @property
    def rows(self) -> int:
        """Return the number of rows in the next claim."""
        return self._lines * self.rows_per_line

    @property
    def largest(self) -> int:
        """Return the largest number of rows in a claim."""
        return self.most_rows // self.rows_per_line * self.rows_per_line

    def kept_up(self) -> None:
        """Note that the last chunk was written without a wait for the reader."""
        self._lines = max(1, min(self._lines * 2, self.most_rows // self.rows_per_line))

    def stalled(self) -> None:
        """Note that the reader did not read the last chunk at once."""
        self._lines = max(1, self._lines // 2)
