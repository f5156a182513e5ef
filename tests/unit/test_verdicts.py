"""What an answer of SES means for each row."""

import pytest

from mailroom_sender.verdicts import Accepted, Lost, NotAsked, Outcome, Refused, Scope, Verdict, judge


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
def test_status_of_one_destination_is_its_rows_alone(status: str, outcome: Outcome) -> None:
    """A destination's status decides on its own row; its neighbours are sent."""
    answer = Accepted([{"Status": "Success", "MessageId": "m"}, {"Status": status, "Error": "why"}])
    first, second = judge(answer, 2)
    assert first == Verdict(Outcome.SENT, message_id="m")
    assert (second.outcome, second.reason) == (outcome, f"{status}: why")


@pytest.mark.parametrize("statuses", [None, [], [{"Status": "Success"}] * 3])
def test_statuses_that_do_not_fit_the_call_are_unknown(statuses: list[dict[str, str]] | None) -> None:
    """A missing list, or one of another length, says nothing of any row."""
    assert [verdict.outcome for verdict in judge(Accepted(statuses), 2)] == [Outcome.UNKNOWN] * 2


@pytest.mark.parametrize(
    ("code", "outcome", "scope"),
    [
        ("Throttling", Outcome.LATER, Scope.ACCOUNT), ("ThrottlingException", Outcome.LATER, Scope.ACCOUNT),
        ("InvalidParameterValue", Outcome.SPLIT, Scope.ACCOUNT), ("MessageRejected", Outcome.SPLIT, Scope.ACCOUNT),
        ("InvalidTemplateData", Outcome.SPLIT, Scope.ACCOUNT), ("TemplateDoesNotExist", Outcome.HOLD, Scope.TEMPLATE),
        ("ConfigurationSetDoesNotExist", Outcome.HOLD, Scope.ACCOUNT), ("AccessDenied", Outcome.HOLD, Scope.ACCOUNT),
        ("MailFromDomainNotVerifiedException", Outcome.HOLD, Scope.ACCOUNT),
        ("AccountSendingPausedException", Outcome.HOLD, Scope.ACCOUNT),
        ("ConfigurationSetSendingPausedException", Outcome.HOLD, Scope.ACCOUNT),
        ("SignatureDoesNotMatch", Outcome.HOLD, Scope.ACCOUNT), ("InvalidClientTokenId", Outcome.HOLD, Scope.ACCOUNT),
        ("ServiceUnavailable", Outcome.LATER, Scope.ACCOUNT), ("SomethingNew", Outcome.LATER, Scope.ACCOUNT),
    ],
)  # fmt: skip
def test_refused_call_decides_on_all_its_rows(code: str, outcome: Outcome, scope: Scope) -> None:
    """A call that SES refuses has not been accepted for any row."""
    verdicts = judge(Refused(400, code, "why"), 3)
    assert [(v.outcome, v.scope, v.reason) for v in verdicts] == [(outcome, scope, f"{code}: why")] * 3


def test_refused_call_of_one_row_is_never() -> None:
    """A row that is refused alone is at fault itself."""
    assert judge(Refused(400, "InvalidParameterValue", "bad"), 1)[0].outcome is Outcome.NEVER


@pytest.mark.parametrize(
    ("message", "outcome", "slower"),
    [("Maximum sending rate exceeded.", Outcome.LATER, True), ("Daily message quota exceeded.", Outcome.HOLD, False)],
)
def test_throttling_is_a_rate_or_a_quota_by_its_message(message: str, outcome: Outcome, slower: bool) -> None:
    """Only the message tells whether to go slower or to wait for tomorrow."""
    verdict = judge(Refused(400, "Throttling", message), 1)[0]
    assert (verdict.outcome, verdict.slower) == (outcome, slower)


def test_answer_without_a_code_is_named_by_its_status() -> None:
    """A 503 from a proxy is a refusal too, and its log line says what it was."""
    assert judge(Refused(503, "", ""), 1) == [Verdict(Outcome.LATER, "HTTP 503", slower=True)]


def test_what_was_not_asked_is_certain_and_what_was_lost_is_not() -> None:
    """Only a call that may have reached SES is a doubt."""
    assert judge(NotAsked("no route"), 1) == [Verdict(Outcome.LATER, "no route", slower=True)]
    assert judge(NotAsked("no credentials", operator=True), 1) == [Verdict(Outcome.HOLD, "no credentials")]
    assert judge(Lost("cut"), 2) == [Verdict(Outcome.UNKNOWN, "cut", slower=True)] * 2


def test_words_of_ses_are_cut() -> None:
    """However much SES says, a log line and a ledger's column stay short."""
    assert len(judge(Refused(400, "Odd", "x" * 5000), 1)[0].reason) == 300
