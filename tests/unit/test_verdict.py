"""The meaning of SES's answers for each row."""

import pytest

from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.ses import holds
from mailroom_sender.ses.holds import Hold
from mailroom_sender.ses.request import Envelope
from mailroom_sender.ses.verdict import (
    Accepted,
    CallQuestion,
    Lost,
    NotAsked,
    Outcome,
    Refused,
    SesAnswer,
    Verdict,
    judge,
)

ENVELOPE = Envelope("Mailroom <noreply@example.com>", "tracking", escape_html=True)
UNVERIFIED = "Email address is not verified. The following identities failed the check in region EU-WEST-1: "


def verdicts_on(answer: SesAnswer, count: int = 1, *, source_works: bool = False) -> list[Verdict]:
    """Judge a call for u0@b.example, u1@b.example ..."""
    rows = [Row(MailAction.ACTIVATION, f"u{n}@b.example", f"u{n}", "S" * 86, "01234", b"") for n in range(count)]
    return judge(answer, CallQuestion(rows, ENVELOPE, source_works))


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("TransientFailure", Outcome.LATER), ("AccountThrottled", Outcome.LATER), ("Failed", Outcome.ONCE_MORE),
        ("InvalidParameterValue", Outcome.NEVER), ("MessageRejected", Outcome.NEVER),
        ("AccountDailyQuotaExceeded", Outcome.HOLD), ("MailFromDomainNotVerified", Outcome.HOLD),
        ("ConfigurationSetDoesNotExist", Outcome.HOLD), ("InvalidSendingPoolName", Outcome.HOLD),
        ("AccountSuspended", Outcome.HOLD), ("AccountSendingPaused", Outcome.HOLD),
        ("ConfigurationSetSendingPaused", Outcome.HOLD), ("TemplateDoesNotExist", Outcome.HOLD),
        ("SomethingNew", Outcome.LATER),
    ],
)  # fmt: skip
def test_status_of_a_destination_is_for_its_row_only(status: str, outcome: Outcome) -> None:
    """A destination's status decides on its own row. The other rows are sent."""
    answer = Accepted([{"Status": "Success", "MessageId": "m"}, {"Status": status, "Error": "why"}])
    first, second = verdicts_on(answer, 2)
    assert first == Verdict(Outcome.SENT, message_id="m")
    assert (second.outcome, second.reason) == (outcome, f"{status}: why")


@pytest.mark.parametrize(
    ("statuses", "found"),
    [
        (None, "no statuses"),
        ([], "0 statuses"),
        ([{"Status": "Success"}], "1 status"),
        ([{"Status": "Success"}] * 3, "3 statuses"),
    ],
)
def test_statuses_that_do_not_fit_the_call_are_unknown(statuses: list[dict[str, str]] | None, found: str) -> None:
    """A missing list, or one of another length, says nothing about any row."""
    expected = Verdict(Outcome.UNKNOWN, f"SES's answer has {found} for 2 destinations")
    assert verdicts_on(Accepted(statuses), 2) == [expected] * 2


@pytest.mark.parametrize("status", ["TransientFailure", "Failed", "AccountThrottled", "AccountSuspended"])
def test_message_id_beside_a_status_that_refuses_is_a_doubt(status: str) -> None:
    """SES may have accepted it."""
    (verdict,) = verdicts_on(Accepted([{"Status": status, "MessageId": "m"}]))
    assert verdict.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("status", [{}, {"Status": "Queued"}])
def test_message_id_without_a_known_status_is_sent(status: dict[str, str]) -> None:
    """Only an accepted mail has one."""
    (verdict,) = verdicts_on(Accepted([{"MessageId": "m", **status}]))
    assert (verdict.outcome, verdict.message_id) == (Outcome.SENT, "m")


def test_destination_without_a_result_is_unknown() -> None:
    """The call was accepted, so this mail may have been accepted too."""
    assert verdicts_on(Accepted([{}]))[0].outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("status", ["InvalidParameterValue", "InvalidParameter", "MessageRejected"])
def test_refused_destination_needs_an_accepted_one_beside_it(status: str) -> None:
    """Alone, its cause is unknown."""
    bad, good = {"Status": status, "Error": "no"}, {"Status": "Success", "MessageId": "m"}
    assert [one.outcome for one in verdicts_on(Accepted([bad, bad]), 2)] == [Outcome.REFUSED] * 2
    assert [one.outcome for one in verdicts_on(Accepted([bad, good]), 2)] == [Outcome.NEVER, Outcome.SENT]


@pytest.mark.parametrize(
    ("status", "words", "outcome", "hold"),
    [
        ("MessageRejected", UNVERIFIED + "u0@b.example", Outcome.NEVER, None),
        ("SomethingNew", UNVERIFIED + "u0@b.example", Outcome.NEVER, None),
        ("MessageRejected", UNVERIFIED + "noreply@example.com", Outcome.HOLD, holds.SOURCE),
        ("SomethingNew", UNVERIFIED + "noreply@example.com", Outcome.HOLD, holds.SOURCE),
        ("MessageRejected", UNVERIFIED + "other@b.example", Outcome.REFUSED, None),
        ("MessageRejected", "Sending paused for this account.", Outcome.HOLD, holds.ACCOUNT),
        ("AccountThrottled", "Daily sending quota exceeded", Outcome.HOLD, holds.QUOTA),
        ("TransientFailure", "this account is busy", Outcome.LATER, None),
    ],
)
def test_text_of_a_destination_names_the_cause(status: str, words: str, outcome: Outcome, hold: Hold | None) -> None:
    """It has the same meaning as that of a whole call."""
    (verdict,) = verdicts_on(Accepted([{"Status": status, "Error": words}]))
    assert (verdict.outcome, verdict.hold) == (outcome, hold)


@pytest.mark.parametrize(
    ("code", "outcome", "hold"),
    [
        ("InvalidParameterValue", Outcome.SPLIT, None), ("MessageRejected", Outcome.SPLIT, None),
        ("InvalidTemplateData", Outcome.SPLIT, None), ("SomethingNew", Outcome.SPLIT, None),
        ("Throttling", Outcome.LATER, None), ("ThrottlingException", Outcome.LATER, None),
        ("ServiceUnavailable", Outcome.LATER, None), ("TooManyRequestsException", Outcome.LATER, None),
        ("TemplateDoesNotExist", Outcome.HOLD, holds.TEMPLATE), ("AccessDenied", Outcome.HOLD, holds.PERMISSION),
        ("AccessDeniedException", Outcome.HOLD, holds.PERMISSION),
        ("ConfigurationSetDoesNotExist", Outcome.HOLD, holds.CONFIG_SET),
        ("MailFromDomainNotVerifiedException", Outcome.HOLD, holds.SOURCE),
        ("AccountSendingPausedException", Outcome.HOLD, holds.ACCOUNT),
        ("AccountSuspended", Outcome.HOLD, holds.ACCOUNT),
        ("ConfigurationSetSendingPausedException", Outcome.HOLD, holds.CONFIG_SET_PAUSED),
        ("SignatureDoesNotMatch", Outcome.HOLD, holds.CREDENTIALS),
        ("InvalidClientTokenId", Outcome.HOLD, holds.CREDENTIALS),
        ("ExpiredTokenException", Outcome.HOLD, holds.CREDENTIALS),
    ],
)  # fmt: skip
def test_refused_call_decides_on_all_its_rows(code: str, outcome: Outcome, hold: Hold | None) -> None:
    """A call that SES refuses was accepted for no row."""
    verdicts = verdicts_on(Refused(400, code, "why"), 3)
    assert [(v.outcome, v.hold, v.reason) for v in verdicts] == [(outcome, hold, f"{code}: why")] * 3


@pytest.mark.parametrize(
    ("status", "outcome", "slower"),
    [
        (400, Outcome.SPLIT, False), (403, Outcome.SPLIT, False), (413, Outcome.SPLIT, False),
        (408, Outcome.LATER, False), (429, Outcome.LATER, True), (500, Outcome.LATER, True), (503, Outcome.LATER, True),
    ],
)  # fmt: skip
def test_unknown_code_is_judged_by_its_status(status: int, outcome: Outcome, slower: bool) -> None:
    """A 4xx may be one row's fault, and slows down no other call. A failure of the server does."""
    for code in ("SomethingNew", ""):
        verdict = verdicts_on(Refused(status, code, ""), 2)[0]
        assert (verdict.outcome, verdict.slower) == (outcome, slower)


def test_row_that_is_refused_alone_needs_a_second_opinion() -> None:
    """A row that is refused alone may not be the cause."""
    assert verdicts_on(Refused(400, "InvalidParameterValue", "bad"))[0].outcome is Outcome.REFUSED


def test_named_rows_fail_and_the_others_are_sent_again() -> None:
    """The call is not halved."""
    verdicts = verdicts_on(Refused(400, "MessageRejected", UNVERIFIED + "u1@b.example, u3@b.example"), 4)
    expected = [Outcome.SPLIT, Outcome.NEVER, Outcome.SPLIT, Outcome.NEVER]
    assert [(one.outcome, one.apart) for one in verdicts] == [(outcome, False) for outcome in expected]


def test_row_at_the_identity_of_the_from_is_called_separately() -> None:
    """If SES accepts the others, the row is at fault. If it refuses them, or there are none, the From is."""
    refusal = Refused(400, "MessageRejected", UNVERIFIED + "u1@b.example, noreply@example.com")
    assert [(one.outcome, one.apart) for one in verdicts_on(refusal, 2)] == [
        (Outcome.SPLIT, False), (Outcome.SPLIT, True)
    ]  # fmt: skip
    alone = Refused(400, "MessageRejected", UNVERIFIED + "u0@b.example, noreply@example.com")
    assert verdicts_on(alone)[0].hold is holds.SOURCE
    assert verdicts_on(alone, source_works=True)[0].outcome is Outcome.NEVER


@pytest.mark.parametrize(
    ("message", "outcome", "slower"),
    [
        ("Maximum sending rate exceeded.", Outcome.LATER, True),
        ("Daily message quota exceeded.", Outcome.HOLD, False),
        ("daily sending quota exceeded", Outcome.HOLD, False),
    ],
)
def test_throttling_is_a_rate_or_a_quota_by_its_text(message: str, outcome: Outcome, slower: bool) -> None:
    """Only the text says whether to slow down or to wait until tomorrow."""
    verdict = verdicts_on(Refused(400, "Throttling", message), 1)[0]
    assert (verdict.outcome, verdict.slower) == (outcome, slower)


def test_answer_without_a_code_is_named_by_its_status() -> None:
    """A 503 from a proxy is a refusal too, and its log line names the status."""
    assert verdicts_on(Refused(503, "", ""), 1) == [Verdict(Outcome.LATER, "HTTP 503", slower=True)]


def test_lost_call_is_a_doubt_and_unmade_call_is_not() -> None:
    """Only a call that may have reached SES is a doubt."""
    assert verdicts_on(NotAsked("no route"), 1) == [Verdict(Outcome.LATER, "no route", slower=True)]
    assert verdicts_on(NotAsked("no credentials", operator=True), 1) == [
        Verdict(Outcome.HOLD, "no credentials", hold=holds.CREDENTIALS)
    ]
    assert verdicts_on(Lost("cut"), 2) == [Verdict(Outcome.UNKNOWN, "cut", slower=True)] * 2


def test_text_of_ses_is_cut() -> None:
    """A log line and a column of the ledger stay short, whatever SES writes."""
    assert len(verdicts_on(Refused(400, "Odd", "x" * 5000), 1)[0].reason) == 300


BOTH = UNVERIFIED + "u0@b.example, noreply@example.com"
SOURCE = UNVERIFIED + "noreply@example.com"


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ({"Status": "Success", "MessageId": "m"}, Verdict(Outcome.SENT, message_id="m")),
        ({"Status": "Success"}, Verdict(Outcome.SENT)),
        ({"Status": "Queued", "MessageId": "m"}, Verdict(Outcome.SENT, "the status Queued", "m")),
        ({"MessageId": "m"}, Verdict(Outcome.SENT, "", "m")),
        ({"Status": None, "MessageId": "m", "Error": None}, Verdict(Outcome.SENT, "", "m")),
        ({}, Verdict(Outcome.UNKNOWN, "SES's answer has no status for a destination")),
        ({"Status": "Failed"}, Verdict(Outcome.ONCE_MORE, "Failed")),
        ({"Error": "why"}, Verdict(Outcome.LATER, "no status: why")),
        ({"Status": "Failed", "MessageId": "m"}, Verdict(Outcome.UNKNOWN, "Failed, but it has a message id")),
        ({"Status": "MessageRejected", "Error": UNVERIFIED + "u0@b.example", "MessageId": "m"},
         Verdict(Outcome.NEVER, f"MessageRejected: {UNVERIFIED}u0@b.example")),
        ({"Status": "SomethingNew", "Error": "why"}, Verdict(Outcome.LATER, "SomethingNew: why")),
        ({"Status": "AccountThrottled"}, Verdict(Outcome.LATER, "AccountThrottled", slower=True, throttled=True)),
        ({"Status": "TransientFailure", "Error": "daily quota"},
         Verdict(Outcome.HOLD, "TransientFailure: daily quota", hold=holds.QUOTA)),
        ({"Status": "AccountSuspended"}, Verdict(Outcome.HOLD, "AccountSuspended", hold=holds.ACCOUNT)),
        ({"Status": "MessageRejected", "Error": SOURCE},
         Verdict(Outcome.HOLD, f"MessageRejected: {SOURCE}", hold=holds.SOURCE)),
        ({"Status": "AccessDenied"}, Verdict(Outcome.HOLD, "AccessDenied", hold=holds.PERMISSION)),
        ({"Status": "InvalidParameter"}, Verdict(Outcome.REFUSED, "InvalidParameter")),
    ],
)  # fmt: skip
def test_status_is_judged_exactly(status: dict[str, str | None], verdict: Verdict) -> None:
    """Outcome, reason, message id and hold are exact. All other values are defaults."""
    assert verdicts_on(Accepted([status])) == [verdict]


@pytest.mark.parametrize(
    ("words", "source_works", "taken", "verdict"),
    [
        (BOTH, False, False, Verdict(Outcome.HOLD, f"MessageRejected: {BOTH}", hold=holds.SOURCE)),
        (BOTH, True, False, Verdict(Outcome.NEVER, f"MessageRejected: {BOTH}")),
        (BOTH, False, True, Verdict(Outcome.NEVER, f"MessageRejected: {BOTH}")),
        (SOURCE, True, True, Verdict(Outcome.HOLD, f"MessageRejected: {SOURCE}", hold=holds.SOURCE)),
    ],
)
def test_from_that_works_is_not_at_fault(words: str, source_works: bool, taken: bool, verdict: Verdict) -> None:
    """A destination at the From's identity is at fault if SES accepts other mails of this From.

    The From alone is never excused.
    """
    statuses = [{"Status": "MessageRejected", "Error": words}, {"Status": "Success"}][: 1 + taken]
    assert verdicts_on(Accepted(statuses), len(statuses), source_works=source_works)[0] == verdict


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Refused(400, "Throttling", "daily quota"),
         Verdict(Outcome.HOLD, "Throttling: daily quota", hold=holds.QUOTA)),
        (Refused(400, "TemplateDoesNotExistException", "no"),
         Verdict(Outcome.HOLD, "TemplateDoesNotExistException: no", hold=holds.TEMPLATE)),
        (Refused(400, "SlowDown", "no"), Verdict(Outcome.LATER, "SlowDown: no", slower=True, throttled=True)),
        (Refused(499, "Odd", "no"), Verdict(Outcome.SPLIT, "Odd: no")),
        (Refused(500, "Odd", "no"), Verdict(Outcome.LATER, "Odd: no", slower=True)),
        (Refused(429, "Odd", "no"), Verdict(Outcome.LATER, "Odd: no", slower=True, throttled=True)),
        (Refused(408, "Odd", "no"), Verdict(Outcome.LATER, "Odd: no")),
        (Refused(400, "", "no"), Verdict(Outcome.SPLIT, "HTTP 400: no")),
        (Refused(400, "MessageRejected", SOURCE),
         Verdict(Outcome.HOLD, f"MessageRejected: {SOURCE}", hold=holds.SOURCE)),
        (NotAsked("no route"), Verdict(Outcome.LATER, "no route", slower=True)),
        (NotAsked("no key", operator=True), Verdict(Outcome.HOLD, "no key", hold=holds.CREDENTIALS)),
        (Lost("cut"), Verdict(Outcome.UNKNOWN, "cut", slower=True)),
        (Lost("cut", slower=False), Verdict(Outcome.UNKNOWN, "cut")),
    ],
)  # fmt: skip
def test_call_is_judged_exactly(answer: SesAnswer, verdict: Verdict) -> None:
    """The verdict is the same for each row."""
    assert verdicts_on(answer, 2) == [verdict] * 2


ARN = "not authorized to perform ses:X on resource arn:aws:ses:eu-west-1:1:"


@pytest.mark.parametrize(
    ("code", "words", "outcomes", "hold"),
    [
        ("AccessDenied", ARN + "identity/example.com", [Outcome.HOLD] * 2, holds.PERMISSION),
        ("MessageRejected", SOURCE, [Outcome.HOLD] * 2, holds.SOURCE),
        ("MessageRejected", ARN + "configuration-set/tracking", [Outcome.HOLD] * 2, holds.PERMISSION),
        ("MessageRejected", ARN + "template/activationv1", [Outcome.HOLD] * 2, holds.TEMPLATE_PERMISSION),
        ("AccessDenied", ARN + "identity/u1@b.example", [Outcome.SPLIT, Outcome.NEVER], None),
        ("AccessDenied", "no", [Outcome.HOLD] * 2, holds.PERMISSION),
        ("AccessDenied", "user u0@b.example may not", [Outcome.HOLD] * 2, holds.PERMISSION),
        ("Odd", "this account is paused", [Outcome.HOLD] * 2, holds.ACCOUNT),
        ("Odd", "no", [Outcome.SPLIT] * 2, None),
    ],
)
def test_cause_of_a_hold_follows_an_order(code: str, words: str, outcomes: list[Outcome], hold: Hold | None) -> None:
    """The order is From, configuration set, template, rows, code, account."""
    found = verdicts_on(Refused(400, code, words), 2)
    assert found == [
        Verdict(outcome, f"{code}: {words}", hold=hold if outcome is Outcome.HOLD else None) for outcome in outcomes
    ]


def test_rows_named_together_with_the_from_prove_nothing() -> None:
    """All of them wait. If the From works, all fail."""
    words = UNVERIFIED + "u0@b.example, u1@b.example, noreply@example.com"
    refusal = Refused(400, "MessageRejected", words)
    held = Verdict(Outcome.HOLD, f"MessageRejected: {words}", hold=holds.SOURCE)
    assert verdicts_on(refusal, 2) == [held] * 2
    assert verdicts_on(refusal, 2, source_works=True) == [Verdict(Outcome.NEVER, held.reason)] * 2


def test_reasons_hold_no_secret() -> None:
    """This is so for a call, a destination and a message id."""
    secret = "S" * 86
    assert verdicts_on(Refused(400, "Odd", f"bad {secret}"))[0].reason == "Odd: bad ..."
    assert verdicts_on(Accepted([{"Status": "Failed", "Error": secret}]))[0].reason == "Failed: ..."
    assert verdicts_on(Accepted([{"Status": secret, "MessageId": secret}])) == [
        Verdict(Outcome.SENT, "the status ...", "...")
    ]
    assert verdicts_on(Accepted([{"Status": "Success", "MessageId": secret}])) == [
        Verdict(Outcome.SENT, message_id="...")
    ]
