"""Pure: when inserts need not ring, because this collector looks by itself.

A bell, that is a NOTIFY, makes the transaction that inserts a token commit alone (migrations/1_ledger,
"The bell"). So when bells come fast, the collector attends: it looks every few ms, and inserts are
silent meanwhile. When little comes, it leaves, and looks until no silent insert is under way any more.
Times are seconds of one monotonic clock, handed in by the caller.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from mailroom_runtime.backoff import Backoff

_MANY: Final = 25
_WITHIN: Final = 0.25
"""So many bells within so many seconds, 100 a second, make a collector attend: a twentieth of what a
server takes that rings at each commit."""
_LOOK: Final = 0.02
"""Seconds between looks of who attends, and so what silence may add to a mail."""
_RING: Final = 0.1
"""Seconds after which who attends rings for the silent inserts: for other queues, and who else listens."""
_STILL: Final = 0.25
"""Seconds without a new row after which the collector leaves."""
_UNDER_WAY_FIRST, _UNDER_WAY_CAP = 0.01, 1.0  # seconds between questions whether a silent insert is under way
_OTHERS: Final = 1.0
"""Seconds between looks while another session attends, which may have been stopped, or may be no collector."""


class PollingStep(Enum):
    """What is to be done now."""

    NOTHING = auto()
    LOOK = auto()  # into the ledger, as if a bell had rung
    ATTEND = auto()  # ask to
    RING = auto()  # for the silent inserts
    LEAVE = auto()  # and ask whether a silent insert is under way


_NEVER: Final = float("inf")


@dataclass(slots=True)
class FastPolling:
    """Whether this collector attends, and what it has to do for that."""

    attending: bool = field(default=False, init=False)
    _bells: deque[float] = field(default_factory=lambda: deque(maxlen=_MANY), init=False)
    _look_at: float = field(default=_NEVER, init=False)
    _ring_at: float = field(default=_NEVER, init=False)
    _leave_at: float = field(default=_NEVER, init=False)
    _another_attends: bool = field(default=False, init=False)
    _under_way: Backoff = field(default_factory=lambda: Backoff(_UNDER_WAY_FIRST, _UNDER_WAY_CAP), init=False)

    def connected(self, now: float) -> None:
        """A new session: whoever attended before may have left silent inserts behind."""
        self._leave_at = now
        self._under_way.succeeded()

    def disconnected(self) -> None:
        """What the session held is gone with it."""
        self.attending = self._another_attends = False
        self._look_at = self._ring_at = self._leave_at = _NEVER
        self._bells.clear()

    def heard(self, now: float, bells: int) -> None:
        """So many bells rang."""
        self._bells.extend([now] * min(bells, _MANY))

    def found(self, now: float) -> None:
        """There were new rows."""
        if self.attending:
            self._leave_at = now + _STILL
            self._ring_at = min(self._ring_at, now + _RING)

    def looked(self, now: float, *, another_attends: bool) -> None:
        """The ledger said whether another collector attends."""
        if another_attends:
            # At once: what was inserted since it attends did not ring.
            self._look_at = min(self._look_at, now + _OTHERS) if self._another_attends else now
        elif self._another_attends:
            self.connected(now)  # the same: it may have left silent inserts behind
        self._another_attends = another_attends

    def do(self, now: float) -> PollingStep:
        """Return the next thing to be done; to be called until there is nothing."""
        if not self.attending and len(self._bells) == _MANY and self._bells[0] >= now - _WITHIN:
            return PollingStep.ATTEND
        if now >= self._leave_at:
            return PollingStep.LEAVE
        if now >= self._ring_at:
            return PollingStep.RING
        if now >= self._look_at:
            self._look_at = self._next_look(now)
            return PollingStep.LOOK
        return PollingStep.NOTHING

    def _next_look(self, now: float) -> float:
        """Return when to look again without a bell; while silent inserts are under way, every second."""
        if self.attending:
            return now + _LOOK
        return now + _OTHERS if self._leave_at < _NEVER else _NEVER

    def attended(self, now: float, allowed: bool) -> None:
        """ATTEND was done; it is allowed to one at a time."""
        self._bells.clear()
        if allowed:
            self.attending = True
            self._look_at = now + _LOOK
            self.found(now)

    def rang(self) -> None:
        """RING was done."""
        self._ring_at = _NEVER

    def left(self, now: float, all_ended: bool, random: float) -> None:
        """LEAVE was done. Once all silent inserts have ended, one more look sees what they wrote.

        Until then it looks now and then: others may hold the lock for hours, by which they are known.
        """
        if self.attending:
            self.attending = False
            self._ring_at = self._look_at = _NEVER
            self._under_way.succeeded()
        self._look_at = now if all_ended else min(self._look_at, now + _OTHERS)
        self._leave_at = _NEVER if all_ended else now + self._under_way.failed(random)

    def deadline(self) -> float:
        """Return when there is next something to do."""
        return min(self._look_at, self._ring_at, self._leave_at)
