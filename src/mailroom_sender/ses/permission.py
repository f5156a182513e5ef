"""Pure: the permission to call SES. The ledger gives it, and the SES client asks for it at the last moment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mailroom_sender.input.row import Row


@dataclass(frozen=True, slots=True)
class Begun:
    """A row that this sender may send now; `attempt` counts from 1.

    After `call_by` (monotonic seconds) the lease might end before the call does.
    """

    row: Row
    token: int
    attempt: int
    holder: str = ""
    call_by: float = float("inf")


class BeginResult(NamedTuple):
    """The ledger's answer to begin: the rows that may be sent, in order, and the rows to begin again later."""

    begun: list[Begun]
    locked: list[Row]  # another transaction has locked them


class CallPermission:
    """The permission that one begin gives: which rows may be sent, and until when. For one thread at a time."""

    def __init__(self, begin: Callable[[], BeginResult]) -> None:
        """`begin` waits for the ledger's answer. It may raise Stopped."""
        self._begin = begin
        self._result: BeginResult | None = None

    def wait(self) -> BeginResult:
        """Return which rows may be sent. Only the first call waits. Raises Stopped."""
        if self._result is None:
            self._result = self._begin()
        return self._result

    def allowed_until(self, rows: Sequence[Row]) -> float | None:
        """Return until when (monotonic seconds) a call with these rows, in this order, may be sent. Raises Stopped.

        None: not all of them may be sent, so this call may not be made.
        """
        begun, until = iter(self.wait().begun), float("inf")
        for row in rows:
            call_by = next((one.call_by for one in begun if one.row is row), None)
            if call_by is None:
                return None
            until = min(until, call_by)
        return until if rows else None
