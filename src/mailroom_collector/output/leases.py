"""The leases of the claimed tokens: extended while a token is in this process, and ended in the ledger."""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

from mailroom_collector.ledger.steps import CollectorLedger
from mailroom_collector.log import log, token_log
from mailroom_collector.output.stdout import LineOutput
from mailroom_collector.output.token_places import UNWRITTEN, TokenPlace
from mailroom_runtime.backoff import Backoff
from mailroom_runtime.words import counted

_CHECK_FIRST, _CHECK_CAP = 0.005, 1.0  # seconds between checks of what the reader took
_EXTENSIONS: Final = 3
"""Extensions in the time of one lease, so that two may fail."""


class Leases:
    """Tells the ledger what became of the claimed tokens, and when to do so again (monotonic seconds)."""

    def __init__(self, output: LineOutput, lease_ms: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self.places = output.places
        self._interval = lease_ms / 1000 / _EXTENSIONS
        self._clock = clock
        self._check = Backoff(_CHECK_FIRST, _CHECK_CAP)
        self._has_warned = False
        self._rejection_log = token_log("token_rejected", "rejected")
        self.acknowledged = False
        """Whether the queue's senders acknowledge, so that a token is theirs once they begin it."""
        self.rejected = 0
        self.extend_at: float | None = None
        self.check_at: float | None = None

    def __len__(self) -> int:
        return len(self.places)

    @property
    def log_at(self) -> float:
        """Return when to call log_counts()."""
        return self._rejection_log.due_at

    def log_counts(self, *, is_end: bool = False) -> None:
        """Log how many tokens were rejected, if it is time to or this is the end."""
        self._rejection_log.log_counts(is_end=is_end)

    def claimed(self, tokens: Collection[int]) -> None:
        """Note tokens that were just claimed. One that was held before is held anew, from its new line on."""
        self._forget(self.places.held(tokens))
        self.places.claim(tokens)
        if self.extend_at is None:
            self.extend_at = self._clock() + self._interval

    def written(self) -> None:
        """Note that something was written: check soon whether it was read."""
        if self.check_at is None:
            self._check.succeeded()
            self.check_at = self._clock() + _CHECK_FIRST

    def reject(self, ledger: CollectorLedger, reasons: Mapping[int, str]) -> None:
        """Fail tokens that can't go out, each with its reason."""
        for token, reason in reasons.items():
            self._rejection_log(reason, [token], "warning")
        ledger.reject(reasons)
        self.rejected += len(reasons)
        self.places.forget(reasons)

    def withdraw(self) -> bool:
        """Keep back what is in no line yet, and the lines of which no byte is written; say whether there were any."""
        had_lines = self._output.withdraw()
        unwritten = self.places.at(*UNWRITTEN)
        self.places.move(unwritten, TokenPlace.TO_RELEASE)
        return had_lines or bool(unwritten)

    def release(self, ledger: CollectorLedger) -> None:
        """Release the tokens that do not go out."""
        tokens = self.places.at(TokenPlace.TO_RELEASE)
        if tokens:
            ledger.release(tokens)
            self.places.forget(tokens)

    def check_reader(self, ledger: CollectorLedger) -> None:
        """See what the reader took, and record it in the ledger, once it is time to."""
        now = self._clock()
        if self.check_at is None or now < self.check_at:
            return
        if self._output.note_read():
            self._check.succeeded()
            self._record_read(ledger)
        self.check_at = now + self._check.failed(1.0) if self._output.has_unread else None

    def record_read(self, ledger: CollectorLedger) -> None:
        """See what the reader took, and record it in the ledger."""
        self._output.note_read()
        self._record_read(ledger)

    def _record_read(self, ledger: CollectorLedger) -> None:
        """Record as emitted what was read; where senders acknowledge, it is theirs instead."""
        tokens = self.places.at(TokenPlace.READ)
        if not tokens:
            return
        if not self.acknowledged and ledger.record_emitted(tokens):
            self.places.forget(tokens)
        else:
            self.acknowledged = True
            self.places.move(tokens, TokenPlace.WITH_SENDER)

    def extend(self, ledger: CollectorLedger) -> None:
        """Extend the leases; forget what is no longer held, as a sender has begun it."""
        tokens = self.places.all()
        kept = ledger.extend(tokens) if tokens else set()
        self._forget([token for token in tokens if token not in kept])
        self.extend_at = self._clock() + self._interval if kept else None
        self._warn_of_idle_sender()

    def _warn_of_idle_sender(self) -> None:
        """Warn once that what was read is not begun, as when the sender lost its database setting."""
        is_idle = self.acknowledged and bool(self.places) and self._output.empty and not self._output.has_unread
        if is_idle and not self._has_warned:
            were, them = ("was", "it") if len(self) == 1 else ("were", "them")
            log(
                f"{counted(len(self), 'row')} {were} read, and no sender has begun {them} yet: SES is slow or on hold,"
                " or the reader is not a mailroom-send with MAILROOM_DATABASE_URL, although jobs.acknowledged_at says"
                " that senders acknowledge",
                "warning",
                event="rows_not_begun",
                count=len(self),
            )
        self._has_warned = is_idle

    def pause(self, ledger: CollectorLedger) -> None:
        """Release all that no sender has begun: while the queue is paused, none will.

        Without senders that acknowledge, what is on its way out stays with its reader.
        """
        self.release(ledger)
        if self.acknowledged and self.places:
            tokens = self.places.all()
            ledger.release(tokens)
            self._forget(tokens)
            self.extend_at = None

    def reconnected(self, ledger: CollectorLedger) -> None:
        """Tell the ledger what it could not be told while the database was away."""
        self._record_read(ledger)
        self.release(ledger)
        self.extend(ledger)

    def finish(self, ledger: CollectorLedger) -> None:
        """Record the rest as read: all is written, and the reader lives, so it will take it."""
        self.places.move(self.places.at(TokenPlace.WRITTEN, TokenPlace.WITH_SENDER), TokenPlace.READ)
        self._record_read(ledger)

    def abandon(self, ledger: CollectorLedger) -> int:
        """Record what was read and release the rest, as nobody reads any more; return how many were released."""
        self.record_read(ledger)
        return ledger.release(self.places.all())

    def _forget(self, tokens: Collection[int]) -> None:
        """Forget tokens that this process holds no longer, though lines with them may still go out."""
        if tokens:
            self._output.remove_tokens(frozenset(tokens))
            self.places.forget(tokens)
