"""What stdout says of a call: its fields stand in docs, and programs read them."""

from mailroom_sender.output.call_answer import call_answer
from mailroom_sender.ses.verdict import Accepted, Lost, Outcome, Refused, SesAnswer, Verdict
from tests.support.sender_parts import rows

NOW = "2026-01-31T23:59:59Z"
ONE, TWO = rows(1, 2)


def answered(answer: SesAnswer, *verdicts: Verdict) -> dict[str, object]:
    return call_answer(answer, [ONE, TWO], verdicts, NOW)


def test_statuses_are_printed_for_each_destination() -> None:
    """In order, without what lets somebody in; a message id is no secret."""
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


def test_refusal_has_its_http_status_and_reason() -> None:
    """Of no destination is there a status then."""
    printed = answered(Refused(400, "MessageRejected", "no"), *[Verdict(Outcome.SPLIT, "MessageRejected: no")] * 2)
    assert (printed["http_status"], printed["error"]) == (400, "MessageRejected: no")
    assert printed["destinations"] == [
        {"email": row.email, "outcome": "split", "status": None, "message_id": None} for row in (ONE, TWO)
    ]


def test_answer_that_can_not_be_matched_to_the_destinations_is_an_error() -> None:
    """Too few statuses, none, or no answer at all."""
    doubt = [Verdict(Outcome.UNKNOWN, "why")] * 2
    for answer in (Accepted([{"Status": "Success"}]), Accepted(None), Accepted([]), Lost("why")):
        printed = answered(answer, *doubt)
        assert (printed["error"], "http_status" in printed) == ("why", False)
