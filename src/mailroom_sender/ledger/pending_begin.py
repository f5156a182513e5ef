"""A begin whose answer has not come yet. It waits for the answer, and begins again if the answer is too late."""

from collections.abc import Callable
from typing import Final

from mailroom_sender.ledger.shared_connection import Rows as DatabaseRows
from mailroom_sender.log import log
from mailroom_sender.ses.permission import BeginResult

_FRESH: Final = 0.25
"""The part of the lease that may pass before the call is made. The call takes at most two thirds of the lease."""


class PendingBegin:
    """One begin in progress. For one thread at a time. Times are in seconds."""

    def __init__(
        self,
        ask: Callable[[], Callable[[], DatabaseRows]],
        read: Callable[[DatabaseRows, float], BeginResult],
        lease: float,
        clock: Callable[[], float],
    ) -> None:
        """Send the begin. `ask` sends it and returns a function that waits. `read` gets the answer and its call_by."""
        self._ask = ask
        self._read = read
        self._lease = lease
        self._clock = clock
        self._send()

    def _send(self) -> None:
        self._asked_at = self._clock()
        self._answer = self._ask()

    def result(self) -> BeginResult:
        """Wait for an answer that comes early enough, and read it. Raises Stopped.

        After a late answer (a stopped process, a slow network) the lease may end before the call does. So the same rows
        are begun again, which is allowed.
        """
        while True:
            answer = self._answer()
            took = self._clock() - self._asked_at
            if took < self._lease * _FRESH:
                return self._read(answer, self._asked_at + self._lease * _FRESH)
            self._note_late(took)
            self._send()

    def _note_late(self, took: float) -> None:
        lease_ms = round(self._lease * 1000)
        log(
            f"the database took {took:.1f} s to answer begin, too long for a lease of {lease_ms} ms; asking it again",
            "warning",
            event="begin_too_slow",
            took_s=round(took, 3),
            lease_ms=lease_ms,
        )
