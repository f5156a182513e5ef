"""Pure: the methods of every ledger of the sender, and the records that they get and return."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mailroom_sender.input.row import Row
from mailroom_sender.ses.permission import BeginResult, Begun, CallPermission
from mailroom_sender.ses.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Settlement:
    """The outcome of a begun row. `verdict` is None if no call was made for it, and it is due again at once."""

    begun: Begun
    verdict: Verdict | None
    given_back_for: float | None = None  # seconds until it is due again, if no call was made because calls are held


@dataclass(frozen=True, slots=True)
class Retry:
    """A row that this sender itself must try again, in `delay` seconds."""

    row: Row
    delay: float


class SenderLedger(Protocol):
    """Decides before a call which rows may be sent, and records the outcomes after it."""

    @property
    def gives_back(self) -> bool:
        """Return whether rows that are settled as given back come again from elsewhere."""

    def new_holder(self) -> str:
        """Return a name for one batch. No other batch, also of this process, may begin the rows that it holds."""

    def begin(self, rows: Sequence[Row], holder: str) -> BeginResult:
        """Return which of the rows may be sent. Raises Stopped."""

    def begin_soon(self, rows: Sequence[Row], holder: str) -> CallPermission:
        """Begin without waiting. The permission waits for the answer when it is asked."""

    def settle(self, settlements: Sequence[Settlement]) -> list[Retry]:
        """Record the outcomes of the rows of one holder. Return the rows that this sender must try again itself.

        Raises Stopped.
        """

    def give_back(
        self, rows: Sequence[Row], reason: str | None = None, delays: Sequence[float] | None = None
    ) -> list[Row]:
        """Return rows that were not begun to the queue, and why. Return those that are locked now.

        `delays` are the seconds until each is due again; None means at once, at its place. Without a ledger they go to
        a file. Raises Stopped.
        """
