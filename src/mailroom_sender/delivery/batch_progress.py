"""The progress of one batch: the rows to call, the refused rows without a verdict, and why the rest waits.

It reads no clock and does no I/O. refusal_run.py has the rule that judges rows that SES refused alone.
"""

from collections.abc import Sequence
from dataclasses import replace

from mailroom_sender.delivery.batch_parts import BatchParts
from mailroom_sender.delivery.refusal_run import RUN_LENGTH, RefusalRun
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.protocol import Settlement
from mailroom_sender.ses import holds
from mailroom_sender.ses.permission import Begun
from mailroom_sender.ses.verdict import Outcome, Verdict


class BatchProgress:
    """One batch, from its first call to its last. Times are monotonic seconds."""

    def __init__(self, batch: Sequence[Row], run: RefusalRun) -> None:
        self.parts = BatchParts(batch)
        self.held: Verdict | None = None
        """Why the rest of the batch waits, and no more calls are made for it. None: calls are made."""
        self.source_works = False
        """Whether SES accepted a mail of this batch."""
        self.logged: set[str] = set()
        """The kinds of refusals that log_call() has logged."""
        self.run = run
        self._undecided: list[tuple[Begun, Verdict]] = []
        self._refused_at: dict[str, float] = {}  # the first refusal in this batch, by the row's secret
        self._taken_at = float("-inf")  # the last call in which SES accepted a mail

    def answered(
        self, begun: Sequence[Begun], verdicts: Sequence[Verdict], called_at: float, now: float
    ) -> list[Verdict]:
        """Return the verdicts on the rows of a call, given all other calls. Put back the rows that are split."""
        is_taken = any(verdict.outcome is Outcome.SENT for verdict in verdicts)
        if is_taken:
            self.source_works, self._taken_at = True, called_at
            self.run.accepted(called_at)
        judged = [
            self._judged(one, verdict, now, is_taken=is_taken) for one, verdict in zip(begun, verdicts, strict=True)
        ]
        if any(verdict.outcome is Outcome.SPLIT for verdict in judged):
            self._split(begun, judged, now)
        if all(verdict.outcome is Outcome.HOLD for verdict in judged):
            self.held = judged[0]
        return judged

    def _split(self, begun: Sequence[Begun], verdicts: Sequence[Verdict], now: float) -> None:
        """Put back the rows to call again."""
        reason = next(verdict.reason for verdict in verdicts if verdict.outcome is Outcome.SPLIT)
        if all(verdict.outcome is Outcome.SPLIT and not verdict.apart for verdict in verdicts):
            for one in begun:
                self._refused(one, reason, now, alone=False)
        splits = self._is_proved(begun[0]) or not self.run.is_no_rows_fault(reason)
        self.parts.put_back([one.row for one in begun], verdicts, splits=splits)

    def _refused(self, one: Begun, reason: str, now: float, *, alone: bool) -> None:
        self._refused_at.setdefault(one.row.secret, now)
        self.run.refused(one.row.secret, reason, now, alone=alone)

    def _is_proved(self, one: Begun) -> bool:
        """Return whether SES refused a call with this row, and then accepted other mails of this batch."""
        return self._refused_at.get(one.row.secret, float("inf")) < self._taken_at

    def _is_at_fault(self, one: Begun) -> bool:
        return self._is_proved(one) or self.run.is_at_fault(one.row.secret)

    def _judged(self, one: Begun, verdict: Verdict, now: float, *, is_taken: bool) -> Verdict:
        """Return the verdict on a row. `is_taken`: SES accepted at least one row of the same call."""
        if verdict.outcome is Outcome.ONCE_MORE and one.attempt > 1:
            verdict = replace(verdict, outcome=Outcome.NEVER if is_taken else Outcome.REFUSED)
        if verdict.outcome is Outcome.REFUSED:
            self._refused(one, verdict.reason, now, alone=not self._is_proved(one))
            if self._is_at_fault(one):
                return replace(verdict, outcome=Outcome.NEVER)
        return verdict

    def settled_now(self, begun: Sequence[Begun], verdicts: Sequence[Verdict]) -> list[Settlement]:
        """Return the outcomes of a call to settle now. The other rows are split, or kept until decided()."""
        pairs = list(zip(begun, verdicts, strict=True))
        self._undecided += [one for one in pairs if one[1].outcome is Outcome.REFUSED]
        return [Settlement(*one) for one in pairs if one[1].outcome not in (Outcome.REFUSED, Outcome.SPLIT)]

    def decided(self, now: float) -> list[Settlement]:
        """Return the kept rows that are known to be at fault now.

        When the batch ends, or before their lease ends, return the others too: they are tried again.
        """
        if not self.parts:
            self._end(now)
        settled: list[Settlement] = []
        kept: list[tuple[Begun, Verdict]] = []
        for one, verdict in self._undecided:
            if self._is_at_fault(one):
                settled.append(Settlement(one, replace(verdict, outcome=Outcome.NEVER)))
            elif self.held or not self.parts or now > one.call_by:
                settled.append(Settlement(one, self.held or verdict))
            else:
                kept.append((one, verdict))
        self._undecided = kept
        return settled

    def _end(self, now: float) -> None:
        """When no part is left: hold the calls if no row is at fault, else continue with the postponed parts."""
        reason = self.parts.postponed_for or (self._undecided[-1][1].reason if self._undecided else "")
        if reason and not self.held and self.run.is_no_rows_fault(reason):
            self.run.held(now)
            reason = f"{RUN_LENGTH} or more mails in a row were refused, and none was accepted in between: {reason}"
            self.held = Verdict(Outcome.HOLD, reason, hold=holds.REFUSALS)
        self.parts.resume()
