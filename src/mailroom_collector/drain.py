"""Drains the queue: claims chunk by chunk until nothing is due, and signs and prints the chunks.

During a backlog three chunks are in progress. The server claims one, this process signs the one before it, and a
second connection records what the reader has read of the one before that.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from mailroom_collector.ledger.scan import Scan
from mailroom_collector.ledger.session import LedgerSession
from mailroom_collector.ledger.steps import Claim, CollectorLedger
from mailroom_collector.output.leases import Leases
from mailroom_collector.output.stdout import LineOutput
from mailroom_collector.output.token_places import TokenPlace
from mailroom_collector.report.claim_log import ClaimLog
from mailroom_collector.sign.chunk import sign_chunk
from mailroom_collector.sign.line import lines
from mailroom_collector.sign.signature import Signer
from mailroom_collector.sign.token import Token
from mailroom_runtime.errors import MailroomError

_LARGE_CLAIM: Final = 750
"""Rows in a claim from which a second connection is worth it. The largest claim has more, with any batch limit."""


class ClaimResult(NamedTuple):
    """The result of a claim."""

    found_rows: bool
    drained: bool  # nothing is due any more


class Drain:
    """Claims, signs and puts lines into the output."""

    def __init__(
        self,
        signer: Signer,
        output: LineOutput,
        leases: Leases,
        session: LedgerSession,
        batch_limit: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.log = ClaimLog(clock)
        self.unprinted = 0
        """The number of rows that were claimed since the start and are not to be printed: stale ones, for example."""
        self._rows_per_line = batch_limit
        self._signer = signer
        self._output = output
        self._leases = leases
        self._session = session
        self._clock = clock
        self._scan = Scan()
        self._answer: Claim | None = None  # of the last claim, not read yet
        self._unknown: dict[int, Token] = {}
        self._unfit: dict[int, str] = {}

    @property
    def unread_rows(self) -> int:
        """Return the number of rows in the answer to the last claim, if the answer is not read yet."""
        return self._answer.rows if self._answer is not None else 0

    def read_actions(self, ledger: CollectorLedger) -> None:
        """Read the actions that the database has. Raises like the ledger."""
        self._signer.set_actions(ledger.read_actions())

    def claim(self, ledger: CollectorLedger, most: int) -> ClaimResult:
        """Claim up to `most` rows, and sign the chunk before while the server works. Raises like the ledger."""
        if self._session.second is None and most >= _LARGE_CLAIM and not self._leases.acknowledged:
            self._session.open_second()
        begun_at = self._clock()
        answer = ledger.claim(most, self._scan.begin(begun_at), meanwhile=self._sign_and_record)
        self._answer = answer
        if answer.rows:
            self._leases.acknowledged = answer.acknowledged
        is_full = answer.rows == most
        now = self._clock()
        is_drained = self._scan.claimed(answer.last, now, now - begun_at, is_full=is_full)
        if not is_full:
            self._sign()  # now, because no claim follows at once
        self._reject(ledger)
        return ClaimResult(answer.rows > 0, is_drained)

    def print_unread(self, ledger: CollectorLedger) -> None:
        """Print the rows of the last claim now, because no claim follows. Raises like the ledger."""
        if self._answer is not None and self._output.empty:
            self._sign()
            self._reject(ledger)

    def withdraw(self) -> bool:
        """Withdraw all rows of which no byte is written; return whether there were any."""
        self._read_answer()
        self._unknown, self._unfit = {}, {}
        return self._leases.withdraw()

    def _sign_and_record(self) -> None:
        """Sign the chunk before, then record what the reader has read of earlier chunks."""
        self._sign()
        if self._session.second is None:
            return
        try:
            self._leases.record_read(self._session.second)
        except MailroomError as error:
            # Not raised: the answer to the claim would stay unread. The first connection records the rows later.
            self._session.lost_second(error)

    def _sign(self) -> None:
        """Sign and print the claimed rows. This needs no ledger, which may be busy."""
        unknown = {token.id: token for token in self._print(self._read_answer())}
        self._leases.places.move(unknown, TokenPlace.UNKNOWN_ACTION)
        self._unknown |= unknown

    def _read_answer(self) -> list[Token]:
        """Return the tokens of the last claim, and log what else it found."""
        answer, self._answer = self._answer, None
        if answer is None:
            return []
        claimed = answer.read()
        self.unprinted += answer.rows - len(claimed.tokens)
        self.log.log_stale(claimed.stale)
        self.log.log_waiting(claimed.waiting)
        self.log.log_doubts(claimed.doubts)
        if claimed.tokens:
            self._note_claimed([token.id for token in claimed.tokens])
        return claimed.tokens

    def _note_claimed(self, tokens: Sequence[int]) -> None:
        """Note claimed tokens. Forget what an earlier claim has noted of them: its lease has run out."""
        self._leases.claimed(tokens)
        if self._unknown or self._unfit:
            for token in tokens:
                self._unknown.pop(token, None)
                self._unfit.pop(token, None)

    def _print(self, tokens: Iterable[Token]) -> list[Token]:
        """Put lines of tokens into the output. Note the unfit tokens; return those of an unknown action."""
        chunk = sign_chunk(self._signer, tokens)
        self._output.put(lines(chunk.rows, self._rows_per_line))
        self._note_unfit(chunk.unfit)
        return chunk.unknown

    def _note_unfit(self, reasons: dict[int, str]) -> None:
        self._leases.places.move(reasons, TokenPlace.TO_REJECT)
        self._unfit |= reasons

    def _reject(self, ledger: CollectorLedger) -> None:
        """Reject tokens that can't be signed. If an action was unknown, read the actions first and try again."""
        if self._unknown:
            self._print_unknown(ledger)
        unfit, self._unfit = self._unfit, {}
        if unfit:
            self._leases.reject(ledger, unfit)

    def _print_unknown(self, ledger: CollectorLedger) -> None:
        """Read the actions again, and print the tokens of actions that are known now."""
        self.read_actions(ledger)
        tokens, self._unknown = self._unknown, {}
        gone = self._print(tokens.values())
        self._note_unfit({t.id: f"its action, {t.action_number}, is not in mailroom_actions any more" for t in gone})
