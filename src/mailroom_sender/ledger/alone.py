"""Begins and settles without a database. The sender tries rows again itself, and writes unsent rows to files."""

import random
from collections import Counter
from collections.abc import Sequence

from mailroom_sender.input.row import Row
from mailroom_sender.ledger.not_sent_log import UNKNOWN_TOKEN
from mailroom_sender.ledger.protocol import Retry, Settlement
from mailroom_sender.output.unsent_rows import UnsentRows
from mailroom_sender.schedule.retries import delay_after, most_attempts
from mailroom_sender.ses.permission import BeginResult, Begun, CallPermission
from mailroom_sender.ses.verdict import Outcome


class LedgerAlone:
    """Lets every row be sent, and counts its attempts."""

    gives_back = False

    def __init__(self, unsent: UnsentRows) -> None:
        self._unsent = unsent
        self._attempts: Counter[str] = Counter()

    def new_holder(self) -> str:
        """Return an empty name, because no other sender can begin the rows."""
        return ""

    def begin_soon(self, rows: Sequence[Row], holder: str) -> CallPermission:
        """Begin. The answer is known at once."""
        begun = self.begin(rows, holder)
        return CallPermission(lambda: begun)

    def begin(self, rows: Sequence[Row], holder: str) -> BeginResult:  # noqa: ARG002 - there is no holder
        """Return all of the rows."""
        self._attempts.update(row.secret for row in rows)
        return BeginResult([Begun(row, UNKNOWN_TOKEN, self._attempts[row.secret]) for row in rows], [])

    def settle(self, settlements: Sequence[Settlement]) -> list[Retry]:
        """Return the rows to try again. Write the other rows that are not sent to files."""
        again: list[Retry] = []
        given_up: list[Row] = []
        for settlement in settlements:
            row, attempt, verdict = settlement.begun.row, settlement.begun.attempt, settlement.verdict
            if settlement.given_back_for is not None:
                self._attempts[row.secret] -= 1  # no call was made for it
                again.append(Retry(row, settlement.given_back_for))
                continue
            if verdict is not None and verdict.outcome not in (Outcome.SENT, Outcome.NEVER):
                if attempt < most_attempts(verdict):
                    again.append(Retry(row, delay_after(verdict, attempt, random.random())))
                    continue
                given_up.append(row)
            elif verdict is None:
                given_up.append(row)
            elif verdict.outcome is not Outcome.SENT:
                self._unsent.reject(row.raw, verdict.reason)
            del self._attempts[row.secret]
        if given_up:
            self._unsent.replay(given_up, "they could not be sent")
        return again

    def give_back(
        self, rows: Sequence[Row], reason: str | None = None, delays: Sequence[float] | None = None
    ) -> list[Row]:
        """Write rows to a file, because there is no ledger to give them back to. `reason` and `delays` say nothing."""
        del reason, delays
        for row in rows:
            self._attempts.pop(row.secret, None)
        self._unsent.replay(list(rows), "they could not be sent")
        return []
