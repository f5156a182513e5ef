"""Pure: where in the order of due rows a claim begins.

Times are monotonic seconds that the caller passes.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

_START_FIRST, _START_CAP = 0.02, 1.0
"""Seconds after which a scan begins at the start again, at least and at most."""
_START_COST: Final = 20
"""Claims from the start take a twentieth of the time at most, if the cap allows that."""


class Place(NamedTuple):
    """A row's place in the order in which rows are claimed."""

    due_at: datetime
    token: int


@dataclass(slots=True)
class Scan:
    """The place where the next claim begins: behind the last claim, so that the server skips no row twice.

    New rows of a higher priority, and rows that have come back, are before that place. So a claim begins at the start
    before a drain ends, and as often as it costs little: a twentieth of the time, but once a second at least. It costs
    more while another session's snapshot keeps the dead rows of earlier claims.
    """

    _after: Place | None = field(default=None, init=False)
    _start_at: float = field(default=0.0, init=False)

    def begin(self, now: float) -> Place | None:
        """Return the place behind which to claim; None means from the start."""
        if now >= self._start_at:
            self._after = None
        return self._after

    def claimed(self, last: Place | None, now: float, seconds: float, *, is_full: bool) -> bool:
        """Note the last row of a claim, and how long the claim took. Return whether nothing more is due.

        `is_full`: the claim got as many rows as it asked for.
        """
        was_from_start = self._after is None
        if was_from_start:
            self._start_at = now + min(_START_CAP, max(_START_FIRST, _START_COST * seconds))
        self._after = last if is_full else None
        return was_from_start and not is_full
