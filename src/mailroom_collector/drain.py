"""From what is due to lines: claims chunk by chunk, and keeps the server busy meanwhile.

In a backlog three chunks are under way at once: while the server claims one, the one before is signed,
and what the reader took of the one before that is emitted, by a second connection.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from mailroom_collector.errors import UnfitToken, UnknownAction
from mailroom_collector.ledger.scan import ChunkSize, Scan
from mailroom_collector.ledger.steps import Claim, CollectorLedger
from mailroom_collector.log import log, token_log
from mailroom_collector.output.leases import Leases
from mailroom_collector.output.stdout import LineOutput
from mailroom_collector.sign.line import SignedRow, encode_row, lines
from mailroom_collector.sign.signature import Signer
from mailroom_collector.sign.token import Token
from mailroom_runtime.errors import MailroomError
from mailroom_runtime.words import counted

_CHUNK_ROWS = 1500
"""Most rows of one claim: from there on its cost a row hardly falls (docs/performance.md)."""

_NAMED_AT_ONCE = 80
"""Tokens in one line of the log, which is cut after 2,000 characters."""
_WARN_AGAIN = 60.0
"""Seconds between two warnings that tokens wait for their action."""


class ClaimResult(NamedTuple):
    """What a claim came to."""

    found: bool  # there were rows
    drained: bool  # nothing is due any more


def _log_doubts(tokens: Sequence[int]) -> None:
    """Name each of them, many in a line."""
    for start in range(0, len(tokens), _NAMED_AT_ONCE):
        some = list(tokens[start : start + _NAMED_AT_ONCE])
        log(
            f"{counted(len(some), 'row')} perhaps mailed twice: the last sender was not heard of again; tokens {some}",
            "warning",
        )


class Drain:
    """Claims, signs and puts into the outlet."""

    def __init__(
        self,
        signer: Signer,
        batch_limit: int,
        outlet: LineOutput,
        holding: Leases,
        open_emitter: Callable[[], CollectorLedger | None],
    ) -> None:
        """`open_emitter` connects once more; None says that it could not."""
        self._signer = signer
        self._batch_limit = batch_limit
        self._outlet = outlet
        self._holding = holding
        self._open_emitter = open_emitter
        self._emitter: CollectorLedger | None = None
        self._scan = Scan()
        self._unsigned: Claim | None = None
        self._unfit: dict[int, str] = {}
        self._unknown: list[Token] = []
        self._warn_at = 0.0
        self._not_mailed_log = token_log("token_not_mailed", "not mailed")
        self.stale = 0
        self.doubts = 0
        self.chunk = ChunkSize(batch_limit, max(_CHUNK_ROWS, batch_limit))

    @property
    def unsigned(self) -> int:
        """Return the rows that are claimed and no line yet."""
        return self._unsigned.rows if self._unsigned is not None else 0

    def learn(self, ledger: CollectorLedger) -> None:
        """Read which actions there are. Raises like the ledger."""
        self._signer.learn(ledger.actions())

    def claim(self, ledger: CollectorLedger) -> ClaimResult:
        """Claim a chunk, and finish the one before while the server is at it. Raises like the ledger."""
        asked = self.chunk.rows
        if self._emitter is None and asked == self.chunk.largest and not self._holding.acknowledged:
            self._emitter = self._open_emitter()
        claim = ledger.claim(asked, self._scan.begin(time.monotonic()), meanwhile=self._finish_last)
        self._unsigned = claim
        if claim.rows:
            self._holding.acknowledged = claim.acknowledged
        full = claim.rows == asked
        if full:
            self.chunk.kept_up()
        else:
            self._sign()  # no claim follows for which it could wait
        self._set_aside(ledger)
        return ClaimResult(claim.rows > 0, self._scan.claimed(claim.last, full=full))

    def _finish_last(self) -> None:
        """Sign the chunk before, then tell what the reader took of the one before that: each at a core of its own."""
        self._sign()
        if self._emitter is None:
            return
        try:
            self._holding.emit(self._emitter)
        except MailroomError as error:
            # Not raised, as the claim would go unread: what was taken is told later, by the first connection.
            log(f"the second connection failed: {error}", error.level)
            self.rest()

    def _read(self) -> list[Token]:
        """Take note of what the last claim took."""
        claim, self._unsigned = self._unsigned, None
        if claim is None:
            return []
        taken = claim.read()
        self._log_stale(taken.stale)
        if taken.waiting:
            self._warn_of(taken.waiting)
        _log_doubts(taken.doubts)
        self.stale += len(taken.stale)
        self.doubts += len(taken.doubts)
        if taken.tokens:
            self._holding.claimed([token.id for token in taken.tokens], time.monotonic())
        return taken.tokens

    def _log_stale(self, stale: Mapping[int, str]) -> None:
        by_reason: dict[str, list[int]] = {}
        for token, reason in stale.items():
            by_reason.setdefault(reason, []).append(token)
        for reason, tokens in by_reason.items():
            self._not_mailed_log(reason, tokens)

    @property
    def tell_at(self) -> float:
        """Return when to call tell()."""
        return self._not_mailed_log.due_at

    def tell(self, *, is_end: bool = False) -> None:
        """Log how many tokens were not mailed, if it is time to or this is the end."""
        self._not_mailed_log.tell(is_end=is_end)

    def _warn_of(self, waiting: list[int]) -> None:
        """Say that tokens wait for their action; they are claimed again and again, so not every time."""
        now = time.monotonic()
        if now < self._warn_at:
            return
        self._warn_at = now + _WARN_AGAIN
        log(
            f"waiting: {counted(len(waiting), 'token')} (first {waiting[0]}) of an action that is not in"
            " mailroom_actions; insert it (docs/adding-an-action.md); said at most once a minute",
            "warning",
        )

    def _sign(self) -> None:
        """Make lines of what is claimed, without the ledger, which may be at something else."""
        self._print(self._read())

    def _print(self, tokens: Iterable[Token]) -> None:
        rows: list[SignedRow] = []
        for token in tokens:
            try:
                rows.append(encode_row(self._signer, token))
            except UnfitToken as reason:
                self._unfit[token.id] = str(reason)
            except UnknownAction:
                self._unknown.append(token)
        self._outlet.put(lines(rows, self._batch_limit))

    def _print_unknown(self, ledger: CollectorLedger) -> None:
        """Tokens came of an action that was added since the actions were read: read them again."""
        self.learn(ledger)
        tokens, self._unknown = self._unknown, []
        self._print(tokens)
        for token in self._unknown:
            self._unfit[token.id] = f"its action, {token.action}, is not in mailroom_actions any more"
        self._unknown = []

    def _set_aside(self, ledger: CollectorLedger) -> None:
        if self._unknown:
            self._print_unknown(ledger)
        unfit, self._unfit = self._unfit, {}
        if unfit:
            self._holding.set_aside(ledger, unfit)

    def pause(self, ledger: CollectorLedger) -> None:
        """No claim can be made now: print what has waited for one."""
        if self._unsigned is not None and self._outlet.empty:
            self._sign()
            self._set_aside(ledger)

    def withdraw(self) -> bool:
        """Take back what is not on its way out; say whether there was anything."""
        unwritten = [*(token.id for token in [*self._read(), *self._unknown]), *self._unfit]
        self._unfit, self._unknown = {}, []
        return self._holding.withdraw(unwritten)

    def rest(self) -> None:
        """Nothing is due, or there is no database: the second connection is not needed."""
        if self._emitter:
            self._emitter.link.close()
            self._emitter = None
