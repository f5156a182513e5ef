"""The claimed rows, from the claim until the ledger has recorded their outcome."""

import time
from collections.abc import Callable
from typing import Final

from mailroom_collector.drain import ClaimResult, Drain
from mailroom_collector.ledger.steps import CollectorLedger
from mailroom_collector.output.leases import Leases
from mailroom_collector.output.outstanding_rows import Departure, OutstandingRows
from mailroom_collector.output.stdout import LineOutput
from mailroom_collector.report.summary import Totals

_NEVER: Final = float("inf")
_STUCK: Final = 1.0
"""If the reader reads no byte for so many seconds, the unwritten rows are released."""
_HELD_UP: Final = 0.25
"""Seconds between checks whether the reader reads again."""


class Claims:
    """Claims rows while there is room, and handles the claimed rows when something is due.

    Times are monotonic seconds. A method with a ledger raises like the ledger's steps.
    """

    def __init__(
        self,
        drain: Drain,
        leases: Leases,
        output: LineOutput,
        target: OutstandingRows,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.output = output
        self._drain = drain
        self._leases = leases
        self._clock = clock
        self._target = target
        self._left: dict[bool, int] = {False: 0, True: 0}  # at the last check
        self._is_held_up = False  # until the reader reads what is in the pipe
        self._stuck_at = _NEVER

    @property
    def outstanding(self) -> int:
        """Return the number of claimed rows that have not left yet, as far as this process knows."""
        if self._leases.acknowledged:
            return max(0, len(self._leases) - self._leases.held_back) + self.unread
        return self.output.rows_unread + self.unread

    @property
    def room(self) -> int:
        """Return how many rows to claim now; 0 if there is no room."""
        if self._is_held_up:
            return 0
        room = self._target.room(self.outstanding, self._clock())
        return max(0, min(room, self._target.most - len(self._leases) - self.unread))

    @property
    def held(self) -> int:
        """Return the number of claimed rows that no sender is known to have begun."""
        return len(self._leases)

    @property
    def unread(self) -> int:
        """Return the number of rows in the answer to the last claim, if the answer is not read yet."""
        return self._drain.unread_rows

    @property
    def totals(self) -> Totals:
        """Return the counts since the start."""
        found = self._drain.log
        return Totals(self.output.rows, self.output.lines, found.stale, self._leases.rejected, found.in_doubt)

    def connected(self, ledger: CollectorLedger) -> None:
        """Read the actions over a new connection, and record in the ledger what could not be recorded before."""
        self._drain.read_actions(ledger)
        self._leases.reconnected(ledger)

    def may_claim(self, ledger: CollectorLedger) -> bool:
        """Return whether to claim more rows: all lines are written, stdout is writable, and there is room."""
        if not self.output.empty or not self.output.is_writable:
            return False
        if self._is_held_up:
            self.output.note_read()
            self._is_held_up = self.output.has_unread
        if self._clock() >= self._target.check_at and (self._target.wants_check(self.outstanding) or not self.room):
            self._check(ledger)
        return self.room > 0

    def _check(self, ledger: CollectorLedger) -> None:
        """Find out how many rows have left."""
        begun_at = self._clock()
        self.output.note_read()
        if self._leases.acknowledged:
            self._leases.check_begun(ledger)
        now = self._clock()
        self._target.checked(self.outstanding, self._departure(now - begun_at), now)

    def _departure(self, seconds: float) -> Departure:
        """Return what has left since the last check. Rows that are not to be printed have left, too."""
        before = self._left
        others = self._drain.unprinted + self._leases.rejected
        self._left = {True: self._leases.sender.begun + others, False: self.output.rows_read + others}
        acknowledged = self._leases.acknowledged
        is_starved = self._leases.is_sender_starved if acknowledged else not self.output.rows_unread
        return Departure(self._left[acknowledged] - before[acknowledged], is_starved, seconds)

    def claim(self, ledger: CollectorLedger) -> ClaimResult:
        """Claim as many rows as there is room for. may_claim() has said that there is room."""
        result = self._drain.claim(ledger, max(1, self.room))
        self._target.claimed(self._clock(), is_drained=result.drained)
        return result

    def write(self) -> None:
        """Write as much as is possible without blocking. Raises ReaderGone."""
        self.output.write()
        self._leases.written()
        self._stuck_at = _NEVER

    def print_and_record(self, ledger: CollectorLedger) -> None:
        """Print the rows of the last claim, and record the lines that the reader has read.

        During a backlog the next claim does both.
        """
        self._drain.print_unread(ledger)
        self._leases.check_reader(ledger)
        if self._clock() >= self.idle_check_at:
            self._check(ledger)

    @property
    def idle_check_at(self) -> float:
        """Return when to ask which rows senders have begun, so that the next claim need not ask first."""
        outstanding = self.outstanding if self._leases.acknowledged and not self.unread else 0
        return self._target.first_checks_at if outstanding and self._target.wants_check(outstanding) else _NEVER

    def is_extension_due(self) -> bool:
        """Return whether it is time to extend the leases."""
        return self._leases.extend_at is not None and self._clock() >= self._leases.extend_at

    def extend(self, ledger: CollectorLedger) -> bool:
        """Extend the leases. Release the rows that the sender does not begin; return whether there were any.

        Nothing more is claimed then until the reader has read what is in the pipe. Otherwise the same rows would be
        printed again and again for a sender that does not read.
        """
        has_released = self._leases.release_idle(ledger)
        self._leases.extend(ledger)
        self._is_held_up = self._is_held_up or has_released
        return has_released

    def stalled(self) -> None:
        """Note that stdout is not writable while lines wait."""
        self.output.is_stalled = True
        if self._stuck_at == _NEVER and (self.output.rows_waiting or self.unread):
            self._stuck_at = self._clock() + _STUCK

    def release_stuck(self, ledger: CollectorLedger) -> bool:
        """Release the unwritten rows if the reader has read nothing for a while; return whether there were any."""
        if self._clock() < self._stuck_at or self.output.is_writable:
            return False
        self._stuck_at = _NEVER
        self.release_unwritten(ledger)
        return True

    def withdraw(self) -> None:
        """Withdraw all rows of which no byte is written. Without a connection their leases can't be extended."""
        self._drain.withdraw()

    def release_unwritten(self, ledger: CollectorLedger) -> None:
        """Withdraw and release all rows of which no byte is written."""
        self._drain.withdraw()
        self._leases.release(ledger)

    def pause(self, ledger: CollectorLedger) -> None:
        """Release the rows that no sender has begun, because the queue is paused."""
        self._drain.withdraw()
        self._leases.pause(ledger)

    def finish(self, ledger: CollectorLedger) -> None:
        """Record the written rows as read, because the reader will still read them. Release the rest."""
        self._leases.finish(ledger)
        self.release_unwritten(ledger)

    def abandon(self, ledger: CollectorLedger) -> int:
        """Release the rows that nobody will read, and return their number."""
        self._drain.withdraw()
        return self._leases.abandon(ledger)

    def log_counts(self, *, is_end: bool = False) -> None:
        """Log the counts of tokens that were not mailed or were rejected, if they are due or the program ends."""
        self._drain.log.log_counts(is_end=is_end)
        self._leases.log_counts(is_end=is_end)

    def deadline(self) -> float:
        """Return when the claimed rows next need something."""
        times = (self._leases.extend_at, self._leases.check_at, self._drain.log.log_at, self._leases.log_at)
        return min(self._stuck_at, *(time for time in times if time is not None))

    def room_deadline(self) -> float:
        """Return when to check again whether there is room."""
        if not self.output.empty or not self.output.is_writable:
            return _NEVER  # the poll waits for stdout
        return self._clock() + _HELD_UP if self._is_held_up else self._target.check_at
