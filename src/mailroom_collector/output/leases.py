"""The leases of the claimed tokens: extends them while this process has the token, and ends them in the ledger."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from typing import Final

from mailroom_collector.ledger.steps import CollectorLedger
from mailroom_collector.log import log, token_log
from mailroom_collector.output.sender_progress import SenderProgress
from mailroom_collector.output.stdout import LineOutput
from mailroom_collector.output.token_places import UNWRITTEN, TokenPlace
from mailroom_runtime.backoff import Backoff
from mailroom_runtime.words import counted

_CHECK_FIRST, _CHECK_CAP = 0.005, 1.0  # seconds between checks of what the reader has read
_EXTENSIONS: Final = 3
"""The number of extensions per lease, so that two may fail."""
_IDLE_EXTENSIONS: Final = 2
"""The number of extensions after which a printed row that no sender has begun is released."""
_PRINTED: Final = (TokenPlace.WRITTEN, TokenPlace.READ, TokenPlace.WITH_SENDER)


class Leases:
    """Extends and ends the leases of the claimed tokens. Times are monotonic seconds."""

    def __init__(self, output: LineOutput, lease_ms: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self.places = output.places
        self._interval = lease_ms / 1000 / _EXTENSIONS
        self._clock = clock
        self._check = Backoff(_CHECK_FIRST, _CHECK_CAP)
        self._has_warned = False
        self._held_back = 0
        self._rejection_log = token_log("token_rejected", "rejected")
        self.acknowledged = False
        """Whether the senders of the queue acknowledge. If so, a token belongs to a sender once it has begun it."""
        self.rejected = 0
        self.sender = SenderProgress()
        self.extend_at: float | None = None
        self.check_at: float | None = None

    def __len__(self) -> int:
        return len(self.places)

    @property
    def log_at(self) -> float:
        """Return when to call log_counts()."""
        return self._rejection_log.due_at

    def log_counts(self, *, is_end: bool = False) -> None:
        """Log how many tokens were rejected, if that is due or the program ends."""
        self._rejection_log.log_counts(is_end=is_end)

    def claimed(self, tokens: Collection[int]) -> None:
        """Note tokens that were just claimed. A token that was held already is forgotten first, with its old line."""
        self._forget(self.places.held(tokens))
        self.places.claim(tokens, self._clock())
        if self.extend_at is None:
            self.extend_at = self._clock() + self._interval

    def written(self) -> None:
        """Note that something was written, to check soon whether it was read."""
        if self.check_at is None:
            self._check.succeeded()
            self.check_at = self._clock() + _CHECK_FIRST

    def reject(self, ledger: CollectorLedger, reasons: Mapping[int, str]) -> None:
        """Settle tokens as failed that can't be printed, each with its reason."""
        for token, reason in reasons.items():
            self._rejection_log(reason, [token], "warning")
        ledger.reject(reasons)
        self.rejected += len(reasons)
        self.places.forget(reasons)

    def withdraw(self) -> bool:
        """Withdraw all tokens and lines of which no byte is written; return whether there were any."""
        had_lines = self._output.withdraw()
        unwritten = self.places.at(*UNWRITTEN)
        self.places.move(unwritten, TokenPlace.TO_RELEASE)
        return had_lines or bool(unwritten)

    def release(self, ledger: CollectorLedger) -> None:
        """Release the withdrawn tokens."""
        tokens = self.places.at(TokenPlace.TO_RELEASE)
        if tokens:
            ledger.release(tokens)
            self.places.forget(tokens)

    def check_reader(self, ledger: CollectorLedger) -> None:
        """Check what the reader has read, and record it in the ledger, if the time for a check has come."""
        now = self._clock()
        if self.check_at is None or now < self.check_at:
            return
        if self.record_read(ledger):
            self._check.succeeded()
        self.check_at = now + self._check.failed(1.0) if self._output.has_unread else None

    def record_read(self, ledger: CollectorLedger) -> bool:
        """Check what the reader has read, and record it in the ledger; return whether there was anything."""
        self._output.note_read()
        return self._record_read(ledger)

    def _record_read(self, ledger: CollectorLedger) -> bool:
        """Record as emitted what was read. If senders acknowledge, the tokens wait for a sender instead."""
        tokens = self.places.at(TokenPlace.READ)
        if not tokens:
            return False
        if not self.acknowledged and ledger.record_emitted(tokens):
            self.places.forget(tokens)
        else:
            self.acknowledged = True
            self.places.move(tokens, TokenPlace.WITH_SENDER)
        return True

    @property
    def held_back(self) -> int:
        """Return the number of rows that the sender holds back, while it begins rows that were claimed later."""
        return self._held_back

    @property
    def is_sender_starved(self) -> bool:
        """Return whether senders have begun all that was printed and that they do not hold back."""
        return len(self.places.at(*_PRINTED)) <= self._held_back

    def check_begun(self, ledger: CollectorLedger) -> None:
        """Ask the ledger which tokens senders have begun, and forget those."""
        tokens = self.places.all()
        self._keep(ledger.held(tokens) if tokens else set(), tokens)

    def extend(self, ledger: CollectorLedger) -> None:
        """Extend the leases. Forget tokens that this process does not hold any more: a sender has begun them."""
        tokens = self.places.all()
        self._keep(ledger.extend(tokens) if tokens else set(), tokens)
        self.extend_at = self._clock() + self._interval if self.places else None
        self._check_idle_sender(ledger)

    def _keep(self, held: Set[int], tokens: Sequence[int]) -> None:
        begun = [token for token in tokens if token not in held]
        if begun:
            self.sender.note(self.places.claim_times(begun), self._clock())
            self._forget(begun)
        self._held_back = len(self.places.claimed_before(self.sender.held_back_before))

    def _check_idle_sender(self, ledger: CollectorLedger) -> None:
        """Do something about rows that were read long ago, if no sender begins any."""
        is_stopped = self.sender.has_stopped()
        is_idle = self.acknowledged and is_stopped and self._output.empty and not self._output.has_unread
        old = self._printed_before(self._clock() - self._interval) if is_idle else []
        if old and ledger.record_emitted(old):  # an operator has said that senders do not acknowledge any more
            self._forget(old)
            self.acknowledged = False
        elif old and not self._has_warned:
            self._has_warned = True
            _warn_of_idle_sender(len(old))
        elif not is_stopped:
            self._has_warned = False

    def release_idle(self, ledger: CollectorLedger) -> bool:
        """Release rows that a sender has had for long and has not begun; return whether there were any.

        Any sender may take them then, and this one may still begin them. A reader that does not acknowledge keeps its
        rows, because it mails them without asking.
        """
        if not (self.acknowledged and self.sender.acknowledges(self._output.rows)):
            return False
        idle = self._printed_before(self._clock() - _IDLE_EXTENSIONS * self._interval)
        if idle:
            ledger.release(idle)
            self._forget(idle)
        return bool(idle)

    def _printed_before(self, time: float) -> list[int]:
        """Return the printed tokens that were claimed before that time."""
        printed = set(self.places.at(*_PRINTED))
        return [token for token in self.places.claimed_before(time) if token in printed]

    def pause(self, ledger: CollectorLedger) -> None:
        """Release all tokens that no sender has begun, because the queue is paused.

        If senders don't acknowledge, written tokens stay with the reader.
        """
        self.release(ledger)
        if self.acknowledged and self.places:
            tokens = self.places.all()
            ledger.release(tokens)
            self._forget(tokens)
            self.extend_at = None

    def reconnected(self, ledger: CollectorLedger) -> None:
        """Record in the ledger what could not be recorded while there was no connection."""
        self._record_read(ledger)
        self.release(ledger)
        self.extend(ledger)

    def finish(self, ledger: CollectorLedger) -> None:
        """Record all written tokens as read: the reader is running, so it will read them."""
        self.places.move(self.places.at(TokenPlace.WRITTEN, TokenPlace.WITH_SENDER), TokenPlace.READ)
        self._record_read(ledger)

    def abandon(self, ledger: CollectorLedger) -> int:
        """Record what was read. Release the rest, because the reader has gone, and return the number of these rows."""
        self.record_read(ledger)
        return ledger.release(self.places.all())

    def _forget(self, tokens: Collection[int]) -> None:
        """Forget tokens that this process does not hold any more. Their lines may still be written."""
        if tokens:
            self._output.remove_tokens(frozenset(tokens))
            self.places.forget(tokens)


def _warn_of_idle_sender(count: int) -> None:
    were, them = ("was", "it") if count == 1 else ("were", "them")
    log(
        f"{counted(count, 'row')} {were} read, and no sender has begun {them} yet: SES is slow or on hold,"
        " or the reader is not a mailroom-send with MAILROOM_DATABASE_URL, although jobs.acknowledged_at says"
        " that senders acknowledge. Hardly any more rows are claimed until a sender begins some",
        "warning",
        event="rows_not_begun",
        count=count,
    )
