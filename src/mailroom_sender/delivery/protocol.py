"""The methods of every delivery, and the result of a batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.protocol import Retry
from mailroom_sender.schedule.held_rows import HeldRows
from mailroom_sender.ses.verdict import Verdict


@dataclass(slots=True)
class DeliveryResult:
    """The verdicts on a batch's rows, and the rows that this sender tries again."""

    action: MailAction
    verdicts: list[Verdict] = field(default_factory=list)
    again: list[Retry] = field(default_factory=list)
    unfit: int = 0  # rows whose address SES can never accept
    took: list[float] = field(default_factory=list)  # seconds from each call to its answer


class Delivery(Protocol):
    """Delivers batches of one action."""

    def start(self, batch: Sequence[Row]) -> Callable[[], DeliveryResult]:
        """Start without waiting. Return a function that delivers the batch in a worker thread. Neither raises."""

    @property
    def gives_back(self) -> bool:
        """Return whether give_back() works: the rows go to a ledger, from which they come again."""

    def give_back(self, held: HeldRows) -> DeliveryResult:
        """Give held rows back to the ledger, in a worker thread. Return the rows that this sender tries again."""

    def release(self, rows: Sequence[Row]) -> None:
        """Release rows that will not be tried now."""

    @property
    def log_at(self) -> float:
        """Return when to call log_counts(), in monotonic seconds."""

    def log_counts(self, *, is_end: bool) -> None:
        """Log what was counted since the last time, if it is time or this is the end."""
