"""Pure: which rows go into the next call, and when it is made. Times are monotonic seconds that the caller passes."""

from collections.abc import Sequence
from typing import Final

from mailroom_sender.input.row import Row
from mailroom_sender.schedule.gates import GateChange, Gates
from mailroom_sender.schedule.held_rows import HeldRows, take_held
from mailroom_sender.schedule.pace import Pace
from mailroom_sender.schedule.retry_queue import RetryQueue
from mailroom_sender.schedule.waiting_rows import MOST_DESTINATIONS, WaitingRows
from mailroom_sender.ses.verdict import Verdict

_HELD_FOR: Final = 1.0
"""As many rows may wait as the rate allows in so many seconds. So few are ahead of an urgent row that comes later."""
MOST_HELD: Final = 10_000
"""Rows of held actions that may wait besides the others in a sender that can't give them back."""


class CallSchedule:
    """The rows that wait for a call, and the limits on calls: the account's rate, throttling, and holds."""

    def __init__(self, pace: Pace, most_rows: int = 400, *, gives_back: bool = False) -> None:
        """`most_rows` may wait at once. `gives_back`: rows that are held can go back to the ledger."""
        self.pace = pace
        self._most_rows = most_rows
        self._gives_back = gives_back
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
    def gives_all_back(self) -> bool:
        """Return whether all calls are held, and all rows go back to the ledger, apart from one for the probe."""
        return self._gives_back and self._gates.account is not None

    @property
    def held_count(self) -> int:
        """Return how many of the waiting rows are held."""
        if self._gates.account:
            return len(self)
        return sum(self._waiting.count(action) + self._retries.count(action) for action in self._gates.actions)

    @property
    def retry_at(self) -> float:
        """Return when the next row that is tried again is due."""
        return self._retries.due_at

    def room(self, now: float) -> int:
        """Return how many more rows may be read: about a second's, or those of one call. 0 or less: none.

        More would only be ahead of rows that are more urgent. Held rows do not count, so that the others pass them.
        """
        if self.gives_all_back:
            return 1 - len(self)  # a probe needs no more; other senders may have another account
        return self.room_for_read_rows(now)

    def room_for_read_rows(self, now: float) -> int:
        """Return how many more rows may wait that are read already. While all calls are held, they are given back."""
        most = int(min(self._most_rows, max(self.pace.batch(now), self.pace.rate(now) * _HELD_FOR)))
        if not self._gates.held or self._gates.account:
            return most - len(self)
        held = self.held_count
        return min(most - (len(self) - held), self._most_held - held)

    @property
    def _most_held(self) -> int:
        """Return how many held rows may wait: those of probes, and those that are given back next; or many."""
        return self._most_rows + MOST_DESTINATIONS if self._gives_back else MOST_HELD

    def put(self, row: Row, now: float) -> None:
        """Let a row wait for a call."""
        self._waiting.put(row, now)

    def retry(self, row: Row, due_at: float) -> None:
        """Let a row wait until then, and then for a call."""
        self._retries.put(row, due_at)

    def put_due(self, now: float) -> None:
        """Let the rows whose time has come wait for a call."""
        for row in self._retries.take_due(now):
            self._waiting.put(row, now)

    def call_at(self, now: float, not_before: float = 0.0) -> float:
        """Return when to make the next call. A time in the past means now; infinite means that no time is known.

        Both the wait and the calls use this method, so that nothing that opens between the two is missed.
        """
        if not self._waiting:
            return float("inf")
        action = self._next_action(now)
        if action is None:
            return self._gates.opens_at(now)
        size = min(self._waiting.count(action), self._most(action, now))
        return max(not_before, self.pace.opens_at(size, now))

    def waits_for_pace(self, now: float) -> bool:
        """Return whether only the rate delays the next call."""
        action = self._next_action(now)
        if action is None:
            return False
        return self.pace.opens_at(min(self._waiting.count(action), self._most(action, now)), now) > now

    def _next_action(self, now: float) -> str | None:
        return self._waiting.first(self._gates.closed(self._waiting.actions, now))

    def _most(self, action: str, now: float) -> int:
        """Return the most rows of the next call."""
        return int(min(self.pace.batch(now), self._gates.most_rows(action)))

    def take_batch(self, now: float) -> list[Row]:
        """Remove and return the rows of the call that is made now."""
        action = self._next_action(now)
        if action is None:
            return []
        batch = self._waiting.take(action, self._most(action, now))
        self.pace.spend(len(batch), now)
        self._gates.note_call(action, len(batch), now)
        return batch

    def take_held(self) -> HeldRows | None:
        """Remove and return held rows to give back, of one action. Rows for the next probe stay. None: there are none.

        Of a sender that can't give rows back, all stay.
        """
        if not self._gives_back or not self._gates.held:
            return None
        return take_held(self._waiting, self._gates)

    def answered(self, action: str, verdicts: Sequence[Verdict], now: float, random: float) -> list[GateChange]:
        """Hold or resume calls according to the verdicts on a batch. Return what changed."""
        return self._gates.answered(action, verdicts, now, random)

    def take_all(self) -> list[Row]:
        """Remove and return all waiting rows."""
        return [*self._waiting.take_all(), *self._retries.take_all()]
