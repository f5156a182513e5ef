"""Pure: makes the JSON object that is printed on stdout for a call."""

from collections.abc import Sequence
from typing import Any

from mailroom_sender.input.row import Row
from mailroom_sender.ses.redaction import message_id, without_secrets
from mailroom_sender.ses.verdict import Accepted, Refused, SesAnswer, Verdict


def call_answer(answer: SesAnswer, rows: Sequence[Row], verdicts: Sequence[Verdict], time: str) -> dict[str, Any]:
    """Return the object to print. `time` is in UTC and in the format of ISO 8601.

    It has `error` unless SES gave a status for each destination.
    """
    statuses = answer.statuses if isinstance(answer, Accepted) and answer.statuses else []
    head: dict[str, Any] = {"time": time, "template": rows[0].action.template}
    if isinstance(answer, Refused):
        head["http_status"] = answer.http_status
    if len(statuses) != len(rows):
        head["error"] = verdicts[0].reason
        statuses = [{}] * len(rows)
    destinations = [
        _destination(row, verdict, status, rows) for row, verdict, status in zip(rows, verdicts, statuses, strict=True)
    ]
    return head | {"destinations": destinations}


def _destination(row: Row, verdict: Verdict, status: dict[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "email": row.email,
        "outcome": verdict.outcome.value,
        "status": without_secrets(status["Status"], rows) if "Status" in status else None,
        "message_id": message_id(status["MessageId"], rows) if "MessageId" in status else None,
    }
