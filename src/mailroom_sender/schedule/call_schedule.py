"""Pure: which rows go into the next call, and when it is made. Times are monotonic seconds that the caller passes."""

from collections.abc import Sequence

from mailroom_sender.input.row import Row
from mailroom_sender.schedule.gates import GateChange, Gates
from mailroom_sender.schedule.pace import Pace
from mailroom_sender.schedule.retry_queue import RetryQueue
from mailroom_sender.schedule.waiting_rows import WaitingRows
from mailroom_sender.ses.verdict import Verdict


class CallSchedule:
    """The rows that wait for a call, and the limits on calls: the account's rate, throttling, and holds."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._waiting = WaitingRows()
        self._retries = RetryQueue()
        self._gates = Gates()

    def __len__(self) -> int:
        """Return how many rows wait."""
        return len(self._waiting) + len(self._retries)

    @property
    def is_held(self) -> bool:
        """Return whether some calls wait for an operator or for the quota."""
        return self._gates.held

    @property
    def hold_reason(self) -> str:
        """Return why calls are held; empty when none is."""
        return self._gates.reason

    @property
    def retry_at(self) -> float:
        """Return when the next row that is tried again is due."""
        return self._retries.due_at

    def put(self, row: Row) -> None:
        """Let a row wait for a call."""
        self._waiting.put(row)

    def retry(self, row: Row, due_at: float) -> None:
        """Let a row wait until then, and then for a call."""
        self._retries.put(row, due_at)

    def put_due(self, now: float) -> None:
        """Let the rows whose time has come wait for a call."""
        for row in self._retries.take_due(now):
            self._waiting.put(row)

    def call_at(self, now: float, not_before: float = 0.0) -> float:
        """Return when to make the next call. A time in the past means now; infinite means that no time is known.

        Both the wait and the calls use this method, so that nothing that opens between the two is missed.
        """
        if not self._waiting:
            return float("inf")
        size = self._waiting.next_size(self._closed(now), self.pace.batch(now))
        if size == 0:
            return self._gates.opens_at(now)
        return max(not_before, self.pace.opens_at(size, now))

    def take_batch(self, now: float) -> list[Row]:
        """Remove and return the rows of the call that is made now."""
        batch = self._waiting.next_batch(self._closed(now), self.pace.batch(now))
        self.pace.spend(len(batch), now)
        self._gates.note_call(batch[0].action.name, now)
        return batch

    def _closed(self, now: float) -> frozenset[str]:
        """Return the actions that have waiting rows and may not be called now."""
        return self._gates.closed(self._waiting.actions, now)

    def answered(self, action: str, verdicts: Sequence[Verdict], now: float, random: float) -> list[GateChange]:
        """Hold or resume calls according to the verdicts on a batch. Return what changed."""
        return self._gates.answered(action, verdicts, now, random)

    def take_all(self) -> list[Row]:
        """Remove and return all waiting rows."""
        return [*self._waiting.take_all(), *self._retries.take_all()]
