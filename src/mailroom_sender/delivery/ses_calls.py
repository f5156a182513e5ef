"""Makes a call to SES: builds it, sends it when the ledger permits it, judges the answer, and prints it."""

import time
from collections.abc import Sequence
from typing import Final

from mailroom_sender.delivery.addresses import fault_of
from mailroom_sender.input.row import Row
from mailroom_sender.output.call_answer import call_answer
from mailroom_sender.output.responses import ResponseFiles
from mailroom_sender.output.stdout import CallOutput
from mailroom_sender.ses.client import CallOutcome, SesClient
from mailroom_sender.ses.permission import CallPermission
from mailroom_sender.ses.redaction import masked
from mailroom_sender.ses.request import Envelope, build
from mailroom_sender.ses.verdict import CallQuestion, NotAsked, Outcome, Verdict, judge

_NOT_MADE: Final = CallOutcome(NotAsked("the call was not made"))


class SesCalls:
    """Makes calls to SES. Callable from any thread."""

    def __init__(self, ses: SesClient, envelope: Envelope, responses: ResponseFiles, output: CallOutput) -> None:
        self._ses = ses
        self._envelope = envelope
        self._responses = responses
        self._output = output

    def call_early(self, rows: Sequence[Row], permission: CallPermission) -> CallOutcome | None:
        """Build and sign a call for all rows while the ledger begins them; only its answer is waited for then.

        None: not all of them may be sent, or not with that signature, and nothing went out.
        """
        if any(fault_of(row) for row in rows):
            return None
        return self._ses.send(build(rows, self._envelope), rows, permission)

    def call(self, rows: Sequence[Row], permission: CallPermission) -> CallOutcome:
        """Call for rows that are begun."""
        return self._ses.send(build(rows, self._envelope), rows, permission) or _NOT_MADE

    def judge(self, rows: Sequence[Row], outcome: CallOutcome, *, source_works: bool) -> list[Verdict]:
        """Return a verdict for each row. Keep the response if it is an error that decides about a row.

        `source_works`: SES accepted a mail of the same From a moment ago.
        """
        verdicts = judge(outcome.answer, CallQuestion(rows, self._envelope, source_works))
        # Of a call that is split, the response to the row that is at fault is kept.
        final = next((verdict for verdict in verdicts if verdict.outcome is not Outcome.SPLIT), None)
        if outcome.response is not None and final is not None:
            response = masked(outcome.response.to_bytes(), rows)
            self._responses.keep(rows[0].action.number, response, final.reason)
        return verdicts

    def print_answer(self, rows: Sequence[Row], outcome: CallOutcome, verdicts: Sequence[Verdict]) -> None:
        """Print the answer to a call on stdout."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._output.line(call_answer(outcome.answer, rows, verdicts, now))
