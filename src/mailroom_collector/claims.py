"""The claimed rows, from the claim until the ledger has recorded their outcome."""

import time
from collections.abc import Callable

from mailroom_collector.drain import ClaimResult, Drain
from mailroom_collector.ledger.steps import CollectorLedger
from mailroom_collector.output.leases import Leases
from mailroom_collector.output.room import CHECK_FIRST, Room
from mailroom_collector.output.stdout import LineOutput
from mailroom_collector.report.summary import Totals


class Claims:
    """Claims rows while there is room, and handles the claimed rows when something is due.

    Times are monotonic seconds. A method with a ledger raises like the ledger's steps.
    """

    def __init__(
        self, drain: Drain, leases: Leases, output: LineOutput, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.output = output
        self._drain = drain
        self._leases = leases
        self._clock = clock
        self._room = Room(drain.chunk.rows_per_line)

    @property
    def has_room(self) -> bool:
        """Return whether this process may hold the rows of the next chunk too."""
        return self._room.has_room(len(self._leases), self._drain.chunk.rows)

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
        if not self.has_room and self._leases.acknowledged and self._clock() >= self._room.check_at:
            self._leases.extend(ledger)  # the answer shows which rows a sender has begun
            self._room.checked(self._clock())
        if self.has_room:
            self._room.found_room()
        return self.has_room

    def claim(self, ledger: CollectorLedger) -> ClaimResult:
        """Claim a chunk."""
        return self._drain.claim(ledger)

    def write(self) -> None:
        """Write as much as is possible without blocking. Raises ReaderGone."""
        self.output.write()
        self._leases.written()

    def print_and_record(self, ledger: CollectorLedger) -> None:
        """Print the rows of the last claim, and record the lines that the reader has read.

        During a backlog the next claim does both.
        """
        self._drain.print_unread(ledger)
        self._leases.check_reader(ledger)

    def is_extension_due(self) -> bool:
        """Return whether it is time to extend the leases."""
        return self._leases.extend_at is not None and self._clock() >= self._leases.extend_at

    def extend(self, ledger: CollectorLedger) -> bool:
        """Extend the leases. If the reader does not read, release the unwritten rows; return whether there were any."""
        is_stuck = not self.output.empty and not self.output.is_writable and self._drain.withdraw()
        if is_stuck:
            self._leases.release(ledger)
            self._drain.chunk.stalled()
        self._leases.extend(ledger)
        return is_stuck

    def stalled(self) -> None:
        """Note that stdout is not writable while lines wait, and claim less next time."""
        self.output.is_stalled = True
        self._drain.chunk.stalled()

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
        return min(time for time in times if time is not None)

    def room_deadline(self) -> float:
        """Return when to check again whether there is room."""
        return max(self._room.check_at, self._clock() + CHECK_FIRST)
