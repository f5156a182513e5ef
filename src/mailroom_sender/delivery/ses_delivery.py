"""Sends batches through SES, fenced and recorded by the ledger."""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from mailroom_runtime.repeated_log import RepeatedLog
from mailroom_sender.delivery.batch_delivery import BatchDelivery, locked_again, log_left_rows
from mailroom_sender.delivery.protocol import DeliveryResult
from mailroom_sender.delivery.refusal_run import RefusalRun
from mailroom_sender.delivery.ses_calls import SesCalls
from mailroom_sender.errors import Stopped
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.protocol import SenderLedger
from mailroom_sender.schedule.held_rows import HeldRows


class SesDelivery:
    """Makes a BatchDelivery for each batch."""

    def __init__(
        self,
        ledger: SenderLedger,
        calls: SesCalls,
        not_sent: RepeatedLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`not_sent` logs rows that are not sent; the ledger may share it."""
        self._ledger = ledger
        self._calls = calls
        self._not_sent = not_sent
        self._clock = clock
        self._runs: defaultdict[str, RefusalRun] = defaultdict(RefusalRun)  # by the action's name

    @property
    def log_at(self) -> float:
        """Return when to call log_counts()."""
        return self._not_sent.due_at

    def log_counts(self, *, is_end: bool) -> None:
        """Log how many rows were not sent."""
        self._not_sent.log_counts(is_end=is_end)

    def start(self, batch: Sequence[Row]) -> Callable[[], DeliveryResult]:
        """Begin a batch; return what delivers it, in a worker."""
        run = self._runs[batch[0].action.name]
        return BatchDelivery(batch, self._ledger, self._calls, run, self._not_sent, self._clock).deliver

    @property
    def gives_back(self) -> bool:
        """Return whether the ledger takes held rows back."""
        return self._ledger.gives_back

    def give_back(self, held: HeldRows) -> DeliveryResult:
        """Give held rows back to the ledger. Each is due again after a while. Rows that are locked are tried again."""
        result = DeliveryResult(held.rows[0].action)
        delays = [held.delay(random.random()) for _ in held.rows]
        try:
            locked = self._ledger.give_back(held.rows, held.reason, delays)
        except Stopped:
            log_left_rows(len(held.rows), at_most=True)
            return result
        result.again = locked_again(locked)
        return result

    def release(self, rows: Sequence[Row]) -> None:
        """Return rows to the ledger, due at once; without a database, to a replay file."""
        if not rows:
            return
        try:
            self._ledger.give_back(rows)
        except Stopped:
            log_left_rows(len(rows))
