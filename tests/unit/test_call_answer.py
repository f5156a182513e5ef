"""The output for a call on stdout. The docs list its fields, and programs read them."""

from mailroom_sender.output.call_answer import call_answer
from mailroom_sender.ses.verdict import Accepted, Lost, Outcome, Refused, SesAnswer, Verdict
from tests.support.sender_parts import rows

NOW = "2026-01-31T23:59:59Z"
ONE, TWO = rows(1, 2)


def answered(answer: SesAnswer, *verdicts: Verdict) -> dict[str, object]:
    return call_answer(answer, [ONE, TWO], verdicts, NOW)


def test_statuses_are_printed_for_each_destination() -> None:
    """They are in order and contain no secret. A message id is not secret."""
    statuses = [
        {"Status": "Success", "MessageId": "m-123456"},
        {"Status": f"Odd {TWO.secret}", "Error": "not printed"},
    ]
    assert answered(Accepted(statuses), Verdict(Outcome.SENT), Verdict(Outcome.LATER, "why")) == {
        "time": NOW,
        "template": "activationv1",
        "destinations": [
            {"email": "u1@example.com", "outcome": "sent", "status": "Success", "message_id": "m-123456"},
            {"email": "u2@example.com", "outcome": "later", "status": "Odd ...", "message_id": None},
        ],
    }


def test_refusal_has_http_status_and_reason() -> None:
    """It has no status of a destination."""
    printed = answered(Refused(400, "MessageRejected", "no"), *[Verdict(Outcome.SPLIT, "MessageRejected: no")] * 2)
    assert (printed["http_status"], printed["error"]) == (400, "MessageRejected: no")
    assert printed["destinations"] == [
        {"email": row.email, "outcome": "split", "status": None, "message_id": None} for row in (ONE, TWO)
    ]


def test_answer_that_does_not_match_the_destinations_is_an_error() -> None:
    """It has too few statuses, none, or there is no answer."""
    doubt = [Verdict(Outcome.UNKNOWN, "why")] * 2
    for answer in (Accepted([{"Status": "Success"}]), Accepted(None), Accepted([]), Lost("why")):
        printed = answered(answer, *doubt)
        assert (printed["error"], "http_status" in printed) == ("why", False)
