"""Pure: what every ledger of the sender can do, and the records that go in and out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mailroom_sender.input.row import Row
from mailroom_sender.ses.permission import BeginResult, Begun, CallPermission
from mailroom_sender.ses.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Settlement:
    """The outcome of a begun row. None as verdict: no call was made for it."""

    begun: Begun
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Retry:
    """A row that this sender itself must try again, in `delay` seconds."""

    row: Row
    delay: float


class SenderLedger(Protocol):
    """The fence before a call, and the record after it."""

    def new_holder(self) -> str:
        """Return a name for one batch: no other batch may begin the rows that it holds, nor one of this process."""

    def begin(self, rows: Sequence[Row], holder: str) -> BeginResult:
        """Return which of the rows may be sent. Raises Stopped."""

    def begin_soon(self, rows: Sequence[Row], holder: str) -> CallPermission:
        """Begin without waiting; the permission waits for the answer when it is asked."""

    def settle(self, settlements: Sequence[Settlement]) -> list[Retry]:
        """Record the outcomes of rows of one holder; return the rows that no collector will print again.

        Raises Stopped.
        """
