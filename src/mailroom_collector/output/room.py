"""Pure: whether there is room for another claim. Times are monotonic seconds, handed in by the caller."""

from typing import Final

from mailroom_runtime.backoff import Backoff

_HELD_ROWS: Final = 4500
"""Most rows held at once: one chunk claimed or being signed, one printed, one being recorded as emitted."""
CHECK_FIRST: Final = 0.005
_CHECK_CAP: Final = 5.0
"""Seconds between checks whether a sender has begun what is held."""


class Room:
    """How many rows this process may hold, and when to ask the ledger which of them it still holds."""

    def __init__(self, batch_limit: int) -> None:
        self._most = max(_HELD_ROWS, 3 * batch_limit)
        self._backoff = Backoff(CHECK_FIRST, _CHECK_CAP)
        self.check_at = 0.0

    def has_room(self, held: int, chunk: int) -> bool:
        """Say whether a chunk of so many rows fits beside the rows that are held."""
        return held + chunk <= self._most

    def checked(self, now: float) -> None:
        """The ledger was asked which rows are still held; ask again later."""
        self.check_at = now + self._backoff.failed(1.0)

    def found_room(self) -> None:
        """There is room: when it is lacking again, ask soon."""
        self._backoff.succeeded()
