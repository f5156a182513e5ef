"""Logs the outcome of a call's rows: a line for each outcome and reason."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from mailroom_runtime.words import counted
from mailroom_sender.delivery.refusal_run import kind_of
from mailroom_sender.log import log
from mailroom_sender.ses.permission import Begun
from mailroom_sender.ses.verdict import Outcome, Verdict

_TEXTS: Final = {
    # Nearly all have no reason. Those are not logged.
    Outcome.SENT: "SES accepted {rows} of {action} with {reason}, which mailroom does not know; they count as sent",
    Outcome.LATER: "SES did not accept {rows} of {action} now; they are sent again later: {reason}",
    Outcome.ONCE_MORE: "SES did not accept {rows} of {action}; they are sent once more: {reason}",
    Outcome.NEVER: "{rows} of {action} failed: {reason}",
    Outcome.REFUSED:
        "SES refused {rows} of {action}; they are tried again, and fail once SES accepts another mail: {reason}",
    Outcome.HOLD: "SES did not accept {rows} of {action}; they wait until calls are made again: {reason}",
    Outcome.SPLIT: "SES refused a call for {rows} of {action}: {reason}; they are sent again at once, in smaller calls",
    Outcome.UNKNOWN: "{rows} may have been mailed twice: {reason}",
}  # fmt: skip
_EVENTS: Final = {
    Outcome.SENT: "status_unknown",
    Outcome.LATER: "mail_postponed",
    Outcome.ONCE_MORE: "mail_postponed",
    Outcome.NEVER: "mail_failed",
    Outcome.REFUSED: "mail_refused",
    Outcome.HOLD: "mail_held",
    Outcome.SPLIT: "call_split",
    Outcome.UNKNOWN: "mail_in_doubt",
}
_NAMED: Final = frozenset({Outcome.NEVER, Outcome.UNKNOWN})
"""Outcomes whose tokens are also in the text, because a person may have to find them."""


def log_call(begun: Sequence[Begun], verdicts: Sequence[Verdict], logged: set[str]) -> None:
    """Log the outcomes of the rows of a call. Log each kind of refusal only once: `logged` has the logged kinds."""
    groups: dict[tuple[Outcome, str], list[Begun]] = defaultdict(list)
    for one, verdict in zip(begun, verdicts, strict=True):
        if verdict.reason:
            groups[verdict.outcome, verdict.reason].append(one)
    for (outcome, reason), rows in groups.items():
        if outcome in (Outcome.SPLIT, Outcome.REFUSED):
            kind = f"{outcome.value}: {kind_of(reason)}"
            if kind in logged:
                continue
            logged.add(kind)
        _log_rows(outcome, reason, rows)


def _log_rows(outcome: Outcome, reason: str, rows: Sequence[Begun]) -> None:
    action = rows[0].row.action.name
    text = _TEXTS[outcome].format(rows=counted(len(rows), "row"), action=action, reason=reason)
    tokens = [one.token for one in rows if one.token]  # without a database there are no ids
    log(
        f"{text}; tokens {tokens}" if tokens and outcome in _NAMED else text,
        "warning",
        event=_EVENTS[outcome],
        action=action,
        outcome=outcome.value,
        reason=reason,
        count=len(rows),
        tokens=tokens or None,
    )
