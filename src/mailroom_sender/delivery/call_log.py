"""What a call came to, in the log: a line for each thing that became of some of its rows."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from mailroom_runtime.words import counted
from mailroom_sender.delivery.refusal_run import kind_of
from mailroom_sender.ledger.steps import Begun
from mailroom_sender.log import log
from mailroom_sender.ses.verdict import Outcome, Verdict

_WORDS: Final = {
    # Without a reason, as nearly all, it is not told.
    Outcome.SENT: "SES took {rows} of {action} with {reason}, which is not known; they count as sent",
    Outcome.LATER: "SES did not take {rows} of {action}, which go again later: {reason}",
    Outcome.ONCE_MORE: "SES did not take {rows} of {action}, which go once more: {reason}",
    Outcome.NEVER: "{rows} of {action} failed: {reason}",
    Outcome.REFUSED: "SES refused {rows} of {action}, which go again, and fail once SES takes another mail: {reason}",
    Outcome.HOLD: "SES did not take {rows} of {action}, which wait: {reason}",
    Outcome.SPLIT: "SES refused a call for {rows} of {action}: {reason}; they go again at once, in smaller calls",
    Outcome.UNKNOWN: "{rows} perhaps mailed twice: {reason}",
}


def log_call(begun: Sequence[Begun], verdicts: Sequence[Verdict], said: set[str]) -> None:
    """Log what became of rows that were called for together. Why they go again only once, as `said` remembers."""
    groups: dict[tuple[Outcome, str], list[Begun]] = defaultdict(list)
    for one, verdict in zip(begun, verdicts, strict=True):
        if verdict.reason:
            groups[verdict.outcome, verdict.reason].append(one)
    for (outcome, reason), rows in groups.items():
        if outcome in (Outcome.SPLIT, Outcome.REFUSED):
            kind = f"{outcome.value}: {kind_of(reason)}"
            if kind in said:
                continue
            said.add(kind)
        action = rows[0].row.action.name
        words = _WORDS[outcome].format(rows=counted(len(rows), "row"), action=action, reason=reason)
        tokens = [one.token for one in rows if one.token]  # without a database there are none
        is_named = tokens and outcome in (Outcome.NEVER, Outcome.UNKNOWN)
        log(f"{words}; tokens {tokens}" if is_named else words, "warning")
