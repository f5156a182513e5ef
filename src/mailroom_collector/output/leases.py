"""What this process holds, from its claim until it is begun, emitted or given back.

Whatever is to be told to the ledger is first noted here, and forgotten only when the ledger
has taken it, so that a connection that is lost in between loses nothing.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Final

from mailroom_collector.ledger.steps import CollectorLedger
from mailroom_collector.log import log, token_log
from mailroom_collector.output.stdout import LineOutput
from mailroom_runtime.backoff import Backoff
from mailroom_runtime.words import counted

_GLANCE_FIRST, _GLANCE_CAP = 0.005, 1.0  # seconds between looks at what the reader took
_EXTENSIONS: Final = 3
"""Extensions in the time of one lease, so that two may fail."""


class Leases:
    """The claimed tokens, where each of them is, and when to see to them again (monotonic seconds)."""

    def __init__(self, outlet: LineOutput, lease_ms: int) -> None:
        self._outlet = outlet
        self._interval = lease_ms / 1000 / _EXTENSIONS
        self._tokens: dict[int, None] = {}
        self._astray: list[int] = []  # not on their way out: to be given back
        self._taken: list[int] = []  # by the reader: to be emitted
        self._glance = Backoff(_GLANCE_FIRST, _GLANCE_CAP)
        self._warned = False
        self._set_aside_log = token_log("token_rejected", "rejected")
        self.acknowledged = False
        self.aside = 0
        self.extend_at: float | None = None
        self.glance_at: float | None = None

    def __len__(self) -> int:
        return len(self._tokens)

    @property
    def tell_at(self) -> float:
        """Return when to call tell()."""
        return self._set_aside_log.due_at

    def tell(self, *, is_end: bool = False) -> None:
        """Log how many tokens were set aside, if it is time to or this is the end."""
        self._set_aside_log.tell(is_end=is_end)

    def claimed(self, tokens: Iterable[int], now: float) -> None:
        """Note tokens that were just claimed."""
        self._tokens.update(dict.fromkeys(tokens))
        if self.extend_at is None:
            self.extend_at = now + self._interval

    def written(self, now: float) -> None:
        """Note that something was written: look soon whether it was read."""
        if self.glance_at is None:
            self._glance.succeeded()
            self.glance_at = now + _GLANCE_FIRST

    def set_aside(self, ledger: CollectorLedger, reasons: Mapping[int, str]) -> None:
        """Fail tokens that can't go out; if the ledger can't be told, they are given back later."""
        self._astray.extend(reasons)
        for token, reason in reasons.items():
            self._set_aside_log(reason, [token], "warning")
        ledger.set_aside(reasons)
        self.aside += len(reasons)
        self._astray = [token for token in self._astray if token not in reasons]
        self._drop(reasons)

    def withdraw(self, unsigned: Iterable[int]) -> bool:
        """Take back what is not signed yet, and the lines of which no byte is written; say whether there were any."""
        unwritten = [*self._outlet.withdraw(), *unsigned]
        self._astray.extend(unwritten)
        return bool(unwritten)

    def give_back(self, ledger: CollectorLedger) -> None:
        """Release what is not on its way out."""
        if self._astray:
            ledger.release(self._astray)
            self._drop(self._astray)
            self._astray = []

    def glance(self, ledger: CollectorLedger, now: float) -> None:
        """See what the reader took, and tell the ledger, once it is time to."""
        if self.glance_at is None or now < self.glance_at:
            return
        taken = self._outlet.taken()
        if taken:
            self._glance.succeeded()
            self._emit(ledger, taken)
        self.glance_at = now + self._glance.failed(1.0) if self._outlet.holds_begun else None

    def emit(self, ledger: CollectorLedger) -> None:
        """Tell the ledger what the reader took."""
        self._emit(ledger, self._outlet.taken())

    def _emit(self, ledger: CollectorLedger, taken: Iterable[int]) -> None:
        """Without a sender that acknowledges, what was taken is done."""
        self._taken.extend(taken)
        if self._taken and not self.acknowledged:
            if ledger.emitted(self._taken):
                self._drop(self._taken)
            else:
                self.acknowledged = True
        self._taken = []

    def extend(self, ledger: CollectorLedger) -> None:
        """Renew the leases; forget what is no longer held, as a sender has begun it."""
        kept = ledger.extend(list(self._tokens)) if self._tokens else set()
        self._tokens = {token: None for token in self._tokens if token in kept}
        self.extend_at = time.monotonic() + self._interval if kept else None
        self._warn_of_idle_sender()

    def _warn_of_idle_sender(self) -> None:
        """Say once that what was read is not begun, as when the sender lost its database setting."""
        idle = self.acknowledged and bool(self._tokens) and self._outlet.empty and not self._outlet.holds_begun
        if idle and not self._warned:
            were = "was" if len(self) == 1 else "were"
            log(
                f"{counted(len(self), 'row')} {were} read and not begun yet: SES is slow or held, or the reader is no"
                " mailroom-send with MAILROOM_DATABASE_URL, though jobs.acknowledged_at says so",
                "warning",
            )
        self._warned = idle

    def pause(self, ledger: CollectorLedger) -> None:
        """Give back all that no sender has begun: while the queue is paused, none will.

        Without senders that acknowledge, what is on its way out stays with its reader.
        """
        self.give_back(ledger)
        if self.acknowledged and self._tokens:
            ledger.release(list(self._tokens))
            self._tokens = {}
            self.extend_at = None

    def reconnected(self, ledger: CollectorLedger) -> None:
        """Tell what could not be told while the database was away."""
        self._emit(ledger, [])
        self.give_back(ledger)
        self.extend(ledger)

    def finish(self, ledger: CollectorLedger) -> None:
        """All is written, and the reader lives: it will take the rest."""
        self._emit(ledger, list(self._tokens))

    def abandon(self, ledger: CollectorLedger) -> int:
        """Nobody reads any more: emit what was taken, release the rest, and return how many that were."""
        self._emit(ledger, self._outlet.taken())
        return ledger.release(list(self._tokens))

    def _drop(self, tokens: Iterable[int]) -> None:
        for token in tokens:
            self._tokens.pop(token, None)
