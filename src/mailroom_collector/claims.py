"""The claimed rows, from the claim to the ledger's record of what became of them."""

import time
from collections.abc import Callable

from mailroom_collector.drain import ClaimResult, Drain
from mailroom_collector.ledger.steps import CollectorLedger
from mailroom_collector.output.leases import Leases
from mailroom_collector.output.room import CHECK_FIRST, Room
from mailroom_collector.output.stdout import LineOutput
from mailroom_collector.report.summary import Totals


class Claims:
    """Claims rows while there is room for them, and does what is due with those that are claimed.

    Times are monotonic seconds. What asks the ledger raises like its steps.
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
        """Say whether the next chunk fits beside the rows that are held."""
        return self._room.has_room(len(self._leases), self._drain.chunk.rows)

    @property
    def held(self) -> int:
        """Return the rows that are claimed, and that no sender is known to have begun."""
        return len(self._leases)

    @property
    def unread(self) -> int:
        """Return the rows of the last claim whose answer is not read yet."""
        return self._drain.unread_rows

    @property
    def totals(self) -> Totals:
        """Return what was done since the start."""
        found = self._drain.log
        return Totals(self.output.rows, self.output.lines, found.stale, self._leases.rejected, found.in_doubt)

    def connected(self, ledger: CollectorLedger) -> None:
        """Read the actions of a new connection, and tell the ledger what it could not be told before."""
        self._drain.read_actions(ledger)
        self._leases.reconnected(ledger)

    def may_claim(self, ledger: CollectorLedger) -> bool:
        """Say whether more rows can be claimed: all is written, the reader takes more, and there is room."""
        if not self.output.empty or not self.output.is_writable:
            return False
        if not self.has_room and self._leases.acknowledged and self._clock() >= self._room.check_at:
            self._leases.extend(ledger)  # the answer says which of them a sender has begun
            self._room.checked(self._clock())
        if self.has_room:
            self._room.found_room()
        return self.has_room

    def claim(self, ledger: CollectorLedger) -> ClaimResult:
        """Claim a chunk."""
        return self._drain.claim(ledger)

    def write(self) -> None:
        """Write what certainly does not block. Raises ReaderGone."""
        self.output.write()
        self._leases.written()

    def print_and_record(self, ledger: CollectorLedger) -> None:
        """Print what waits for the next claim, and record what the reader took. Else the next claim does both."""
        self._drain.print_unread(ledger)
        self._leases.check_reader(ledger)

    def is_extension_due(self) -> bool:
        """Say whether it is time to extend the leases."""
        return self._leases.extend_at is not None and self._clock() >= self._leases.extend_at

    def extend(self, ledger: CollectorLedger) -> bool:
        """Extend the leases. If the reader takes nothing, release what is not written; say whether there was any."""
        is_stuck = not self.output.empty and not self.output.is_writable and self._drain.withdraw()
        if is_stuck:
            self._leases.release(ledger)
            self._drain.chunk.stalled()
        self._leases.extend(ledger)
        return is_stuck

    def stalled(self) -> None:
        """Note that the reader did not take what waits to be written, and claim less next time."""
        self.output.is_stalled = True
        self._drain.chunk.stalled()

    def withdraw(self) -> None:
        """Keep back what is not on its way out. Without a connection its leases can't be extended."""
        self._drain.withdraw()

    def release_unwritten(self, ledger: CollectorLedger) -> None:
        """Release what is not on its way out."""
        self._drain.withdraw()
        self._leases.release(ledger)

    def pause(self, ledger: CollectorLedger) -> None:
        """Release what no sender has begun, as the queue is paused."""
        self._drain.withdraw()
        self._leases.pause(ledger)

    def finish(self, ledger: CollectorLedger) -> None:
        """Record what is written as read, because the reader will still take it. Release the rest."""
        self._leases.finish(ledger)
        self.release_unwritten(ledger)

    def abandon(self, ledger: CollectorLedger) -> int:
        """Release what nobody reads any more; return how many rows that were."""
        self._drain.withdraw()
        return self._leases.abandon(ledger)

    def log_counts(self, *, is_end: bool = False) -> None:
        """Log how many tokens were not mailed or rejected, as far as it is time to, or this is the end."""
        self._drain.log.log_counts(is_end=is_end)
        self._leases.log_counts(is_end=is_end)

    def deadline(self) -> float:
        """Return when there is next something to do with what is claimed."""
        times = (self._leases.extend_at, self._leases.check_at, self._drain.log.log_at, self._leases.log_at)
        return min(time for time in times if time is not None)

    def room_deadline(self) -> float:
        """Return when to see again whether there is room."""
        return max(self._room.check_at, self._clock() + CHECK_FIRST)
