"""Pure: how the senders begin the rows that were printed. Times are monotonic seconds that the caller passes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

_SOON: Final = 15.0
"""Seconds from a claim to its begin. In so short a time hardly anybody gets a mail and uses its token, after which an
application deletes the token. The collector sees a begin after a third of a lease, which is 10 s, or earlier."""
_PASSED_OVER: Final = 5.0
"""Seconds between the claims of two rows. If the later one is begun first, a sender holds the earlier one back."""


@dataclass(slots=True)
class SenderProgress:
    """The rows that senders have begun, as far as this process knows: the ledger says that it holds them no more."""

    begun: int = field(default=0, init=False)
    """Their number since the start."""
    held_back_before: float = field(default=float("-inf"), init=False)
    """Rows that were claimed before this time are held back: a sender has begun rows that came seconds later."""
    _begun_soon: int = field(default=0, init=False)
    _begun_before: int = field(default=0, init=False)

    def note(self, claimed_at: Sequence[float], now: float) -> None:
        """Note when the rows were claimed that were found begun now: one row or more."""
        self.begun += len(claimed_at)
        self._begun_soon += sum(time >= now - _SOON for time in claimed_at)
        self.held_back_before = max(claimed_at) - _PASSED_OVER

    def acknowledges(self, printed: int) -> bool:
        """Return whether the reader is a sender that acknowledges: most of the rows printed since the start left soon.

        Another reader never begins anything. Some of its rows leave too, because an application deletes their tokens.
        """
        return 2 * self._begun_soon > printed

    def has_stopped(self) -> bool:
        """Return whether nothing was begun since the last call."""
        before, self._begun_before = self._begun_before, self.begun
        return self.begun == before
