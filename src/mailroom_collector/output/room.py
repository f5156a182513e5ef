"""Pure: whether there is room for another claim. Times are monotonic seconds that the caller passes."""

from typing import Final

from mailroom_runtime.backoff import Backoff

_HELD_ROWS: Final = 4500
"""The largest number of held rows: a chunk being claimed or signed, a printed one, and one being recorded."""
CHECK_FIRST: Final = 0.005
_CHECK_CAP: Final = 5.0
"""Seconds between checks whether a sender has begun what is held."""


class Room:
    """The number of rows that this process may hold, and the time to ask the ledger which it still holds."""

    def __init__(self, batch_limit: int) -> None:
        self._most = max(_HELD_ROWS, 3 * batch_limit)
        self._backoff = Backoff(CHECK_FIRST, _CHECK_CAP)
        self.check_at = 0.0

    def has_room(self, held: int, chunk: int) -> bool:
        """Return whether this process may hold a chunk of so many rows in addition to the held rows."""
        return held + chunk <= self._most

    def checked(self, now: float) -> None:
        """Note that the ledger was asked which rows are still held; ask again later."""
        self.check_at = now + self._backoff.failed(1.0)

    def found_room(self) -> None:
        """Note that there is room. If there is no room again, ask soon."""
        self._backoff.succeeded()
