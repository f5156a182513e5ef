"""The sender's log about calls and rows: text for people, an event with fields for programs."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mailroom_sender.delivery.call_log import log_call
from mailroom_sender.ledger.not_sent_log import not_sent_log
from mailroom_sender.ledger.pause_log import PauseLog
from mailroom_sender.log import log
from mailroom_sender.schedule.gates import GateChange
from mailroom_sender.schedule.hold_log import log_gate, log_lower_rate
from mailroom_sender.ses import holds
from mailroom_sender.ses.permission import Begun
from mailroom_sender.ses.verdict import Outcome, Verdict
from tests.support.sender_parts import rows

Events = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def events(capfd: pytest.CaptureFixture[str]) -> Iterator[Events]:
    """The logged events, without the fields that all of them have."""
    before, log.as_json = log.as_json, True
    yield lambda: [
        {name: value for name, value in json.loads(line).items() if name not in ("time", "program")}
        for line in capfd.readouterr().err.splitlines()
    ]
    log.as_json = before


def begun(*tokens: int) -> list[Begun]:
    return [Begun(row, token, 1) for row, token in zip(rows(*tokens), tokens, strict=True)]


def test_rows_of_one_outcome_and_reason_are_one_event(events: Events) -> None:
    """Accepted rows are not logged."""
    later, sent = Verdict(Outcome.LATER, "TransientFailure: busy"), Verdict(Outcome.SENT)
    log_call(begun(1, 2, 3), [later, sent, later], set())
    assert events() == [
        {
            "level": "warning",
            "event": "mail_postponed",
            "message": "SES did not accept 2 rows of activation now; they are sent again later: TransientFailure: busy",
            "action": "activation",
            "outcome": "later",
            "reason": "TransientFailure: busy",
            "count": 2,
            "tokens": [1, 3],
        }
    ]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_each_outcome_has_words_and_an_event(events: Events, outcome: Outcome) -> None:
    """A new outcome must have both. The text contains the tokens of mails to check."""
    log_call(begun(7), [Verdict(outcome, "why")], set())
    (event,) = events()
    assert event["event"]
    assert "why" in event["message"]
    assert ("tokens [7]" in event["message"]) == (outcome in (Outcome.NEVER, Outcome.UNKNOWN))
    assert (event["outcome"], event["tokens"]) == (outcome.value, [7])


def test_same_kind_of_refusal_is_logged_once(events: Events) -> None:
    """A call that is split may be refused twenty times, each time with another address in SES's text."""
    logged: set[str] = set()
    for number in range(3):
        log_call(begun(number + 1), [Verdict(Outcome.SPLIT, f"no: <u{number}@b.example>")], logged)
    log_call(begun(9), [Verdict(Outcome.REFUSED, "no: <u1@b.example>")], logged)
    assert [event["event"] for event in events()] == ["call_split", "mail_refused"]


def test_hold_names_the_waiting_rows_and_what_to_do(events: Events) -> None:
    """A hold that ends by itself is a warning. One that an operator must end is an error."""
    log_gate(GateChange(True, "no template", holds.TEMPLATE, "activation"), gives_back=True)
    log_gate(GateChange(True, "used up", holds.QUOTA, None), gives_back=False)
    log_gate(GateChange(False, "used up", holds.QUOTA, None), gives_back=False)
    template, quota, over = events()
    assert template["message"] == (
        "calls for activation wait, probing every 15 s: no template; their rows go back to the queue, and come again"
        f" later; {holds.TEMPLATE.hint}"
    )
    assert (template["level"], template["event"], template["action"]) == ("error", "calls_held", "activation")
    assert (template["reason"], template["hint"]) == ("no template", holds.TEMPLATE.hint)
    assert quota["message"].startswith("all calls wait, probing every 15 s: used up; their rows wait in this program; ")
    assert (quota["level"], "action" in quota) == ("warning", False)
    assert over == {
        "level": "info",
        "event": "calls_resumed",
        "message": "calls are made again; they waited for: used up",
        "reason": "used up",
    }


def test_lower_rate_is_a_number(events: Events) -> None:
    """Its name has the unit."""
    log_lower_rate(12.5)
    assert [(event["event"], event["recipients_per_s"]) for event in events()] == [("rate_lowered", 12.5)]


def test_pause_is_an_event_of_its_queue(events: Events) -> None:
    """An answer without a pause ends none."""
    pause = PauseLog("mails")
    for codes in ({"begun"}, {"paused"}, {"paused", "locked"}, {"locked"}, {"begun"}, {"begun"}):
        pause.note(codes)
    assert [(event["event"], event["queue"]) for event in events()] == [
        ("queue_paused", "mails"),
        ("queue_resumed", "mails"),
    ]


def test_unknown_token_is_a_question_mark(events: Events) -> None:
    """The first few of a reason are named, and the rest is counted."""
    not_sent = not_sent_log()
    not_sent("it expired", [0, 5, 6, 7, 8, 9, 10])
    not_sent.log_counts(is_end=True)
    found = events()
    assert [event["event"] for event in found] == ["token_not_sent"] * 6
    assert found[0]["message"] == "token ? is not sent: it expired"
    assert found[-1]["message"] == "2 more tokens not sent, 9 to 10: it expired"
