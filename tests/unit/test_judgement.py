"""What each answer of AWS means for going live, with the exact text."""

from typing import Any

import pytest

from mailroom_sender.aws.no_answer import NoAnswer, Why
from mailroom_sender.check import judgement
from mailroom_sender.check.finding import Finding, Status
from mailroom_sender.check.judgement import AwsAnswer, TemplateAnswers
from mailroom_sender.texts.login_display import altered_login_fault
from mailroom_sender.texts.sample import Sample
from mailroom_sender.texts.template import from_ses

OK, WARNING, TASK = Status
DENIED = NoAnswer(Why.DENIED, "AccessDenied", "no", "Ask")
SENDING, QUOTA, IDENTITY, DKIM, CONFIG_SET, GET, RENDER, BULK = (
    f"ses:{name}"
    for name in (
        "GetAccountSendingEnabled", "GetSendQuota", "GetIdentityVerificationAttributes", "GetIdentityDkimAttributes",
        "DescribeConfigurationSet", "GetTemplate", "TestRenderTemplate", "SendBulkTemplatedEmail",
    )
)  # fmt: skip


def denied(check: str, permission: str) -> Finding:
    return Finding(check, WARNING, "not checked: the permission is missing", f"allow {permission}", permission)


@pytest.mark.parametrize(
    ("why", "status", "found", "todo"),
    [
        (Why.DENIED, WARNING, "not checked: the permission is missing", "allow ses:P"),
        (Why.THROTTLED, WARNING, "not checked: AWS throttles Ask (Code: words)", "try again in a while"),
        (Why.BROKEN, WARNING, "not checked: AWS does not answer Ask as it should (Code: words)",
         "try again in a while"),
        (Why.ALREADY_FAILED, WARNING, "not checked, for the reason above", ""),
        (Why.CREDENTIALS, TASK, "AWS does not accept the credentials (Code: words)",
         "correct the AWS credentials, and the clock of this machine"),
        (Why.UNREACHABLE, TASK, "AWS can't be reached (Code: words)",
         "check AWS_REGION, AWS_ENDPOINT_URL_SES and the network"),
        (Why.UNREADABLE, TASK, "what AWS answers to Ask can't be read (Code: words)",
         "check AWS_REGION, AWS_ENDPOINT_URL_SES and the network"),
        (Why.REFUSED, TASK, "AWS refuses Ask (Code: words)", ""),
    ],
)  # fmt: skip
def test_question_without_an_answer(why: Why, status: Status, found: str, todo: str) -> None:
    """A temporary failure, or a check that can't run, does not prevent going live."""
    answer = NoAnswer(why, "Code", "words", "Ask")
    assert judgement.unanswered("it", "ses:P", answer) == Finding("it", status, found, todo, "ses:P")


def test_each_question_names_its_permission() -> None:
    """A user without it learns which one it is."""
    assert judgement.sending(DENIED) == denied("sending", SENDING)
    assert judgement.quota(DENIED, None) == denied("quota", QUOTA)
    assert judgement.identity("a@b.example", DENIED) == (denied("identity", IDENTITY), None)
    assert judgement.dkim("b.example", DENIED) == denied("DKIM", DKIM)
    assert judgement.config_set("tracking", DENIED) == [denied("configuration set", CONFIG_SET)]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"Arn": "arn:x"}, Finding("credentials", OK, "arn:x (from env)")),
        ({}, Finding("credentials", OK, "unnamed (from env)")),
        (NoAnswer(Why.CREDENTIALS, "Bad", "no"),
         Finding("credentials", TASK, "AWS does not accept the credentials (Bad: no)",
                 "correct the AWS credentials, and the clock of this machine")),
        (NoAnswer(Why.UNREACHABLE, "Down"),
         Finding("credentials", WARNING, "found (from env), but their owner is not known: STS says Down")),
    ],
)  # fmt: skip
def test_credentials(answer: AwsAnswer, expected: Finding) -> None:
    """A network that allows SES and not STS does not prevent going live."""
    assert judgement.credentials(answer, "env") == expected


def test_region() -> None:
    """A default region is a guess."""
    assert judgement.region("eu-west-1", True, None) == Finding("region", OK, "eu-west-1")
    assert judgement.region("us-east-1", False, None) == Finding(
        "region", WARNING, "us-east-1, because none is set", "set AWS_REGION"
    )
    assert judgement.region("x", False, "http://here") == Finding("region", OK, "x, asked at http://here")


def test_sending() -> None:
    """In a paused account nothing is sent."""
    assert judgement.sending({"Enabled": True}) == Finding(
        "sending", OK, "enabled for this account and region", "", SENDING
    )
    todo = "find out why; then 'aws ses update-account-sending-enabled --enabled'"
    assert judgement.sending({}) == Finding("sending", TASK, "paused for this account and region", todo, SENDING)


@pytest.mark.parametrize(
    ("most", "rate", "used", "max_rate", "status", "found", "todo"),
    [
        (50_000, 14, 39_999, 14, OK, "39,999 of 50,000 used in 24 hours; 14 a second", ""),
        (50_000, 14, 40_000, None, WARNING, "40,000 of 50,000 used in 24 hours; 14 a second",
         "it is nearly used up: ask AWS for a higher quota"),
        (50_000, 14, 50_000, None, TASK, "50,000 of 50,000 used in 24 hours; 14 a second",
         "wait, or ask AWS for a higher quota"),
        (50_000, 1400, 7, 1401, WARNING, "7 of 50,000 used in 24 hours; 1,400 a second",
         "MAILROOM_SES_MAX_RATE is 1401: unset it, or SES will throttle"),
        (200, 1, 3, None, WARNING, "3 of 200 used in 24 hours; 1 a second",
         "the account is in the sandbox: only verified addresses get mail; ask AWS for production access"),
        (200, 2, 3, None, OK, "3 of 200 used in 24 hours; 2 a second", ""),
        (-1, 14, 10**9, None, OK, "no daily limit; 14 a second", ""),
    ],
)  # fmt: skip
def test_quota(
    most: float, rate: float, used: float, max_rate: int | None, status: Status, found: str, todo: str
) -> None:
    """Four fifths of the daily quota are a warning. A sandbox is recognized by its two figures."""
    answer = {"Max24HourSend": most, "MaxSendRate": rate, "SentLast24Hours": used}
    assert judgement.quota(answer, max_rate) == Finding("quota", status, found, todo, QUOTA)


def test_missing_quota_counts_as_none() -> None:
    """It is safer to check again than to go live without a quota."""
    reported = judgement.quota({}, None)
    assert (reported.status, reported.found) == (TASK, "0 of 0 used in 24 hours; 0 a second")


def test_from_that_cannot_be_verified() -> None:
    """A local SES may accept it."""
    found = "it is a@localhost, and SES refuses every mail from localhost"
    todo = "set MAILROOM_SES_SOURCE, here and for the sender"
    assert judgement.source("a@localhost", None) == [Finding("From", TASK, found, todo)]
    assert judgement.source("a@localhost", "http://here") == [Finding("From", WARNING, found, todo)]
    assert judgement.source("a@b.example", None) == []


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, (TASK, "neither a@mail.b.example nor its domain is known to SES here",
              "verify the domain in SES, in this region, or set MAILROOM_SES_SOURCE", None)),
        ({"b.example": {"VerificationStatus": "Success"}},
         (OK, "b.example is verified, for a@mail.b.example", "", "b.example")),
        ({"mail.b.example": {"VerificationStatus": "Pending"}, "b.example": {"VerificationStatus": "Success"}},
         (OK, "b.example is verified, for a@mail.b.example", "", "b.example")),
        ({"mail.b.example": {"VerificationStatus": "Pending"}},
         (TASK, "the verification of mail.b.example is Pending",
          "finish it: publish the DNS records, or open the mail from AWS", None)),
        ({"b.example": {}}, (TASK, "the verification of b.example is None",
                             "finish it: publish the DNS records, or open the mail from AWS", None)),
    ],
)  # fmt: skip
def test_identity(known: dict[str, Any], expected: tuple[Status, str, str, str | None]) -> None:
    """Any verified identity that covers the From is enough."""
    status, found, todo, name = expected
    reported = judgement.identity("Mailroom <a@mail.b.example>", {"VerificationAttributes": known})
    assert reported == (Finding("identity", status, found, todo, IDENTITY), name)


def test_missing_identities_are_unknown() -> None:
    """An answer without this part names none."""
    assert judgement.identity("a@b.example", {})[0].status is TASK


@pytest.mark.parametrize(
    ("known", "is_signed"),
    [
        ({"DkimEnabled": True, "DkimVerificationStatus": "Success"}, True),
        ({"DkimEnabled": False, "DkimVerificationStatus": "Success"}, False),
        ({"DkimEnabled": True, "DkimVerificationStatus": "Pending"}, False),
        ({}, False),
    ],
)
def test_dkim(known: dict[str, Any], is_signed: bool) -> None:
    """It is enabled and verified."""
    expected = (
        Finding("DKIM", OK, "mails of b.example are signed", "", DKIM)
        if is_signed
        else Finding("DKIM", WARNING, "mails of b.example are not signed",
                     "set up Easy DKIM for b.example, or receivers may treat them as spam", DKIM)
    )  # fmt: skip
    assert judgement.dkim("b.example", {"DkimAttributes": {"b.example": known}}) == expected
    assert judgement.dkim("b.example", {}).status is WARNING
    assert judgement.dkim("b.example", {"DkimAttributes": {}}).status is WARNING


EXISTS = Finding("configuration set", OK, "tracking exists", "", CONFIG_SET)
PUBLISHED = Finding("rendering failures", OK, "are published", "", CONFIG_SET)
UNPUBLISHED = Finding(
    "rendering failures", TASK, "are not published: SES drops a mail that it can't render, and reports it nowhere",
    "give tracking an event destination, enabled, with renderingFailure", CONFIG_SET,
)  # fmt: skip
CLICKS = Finding(
    "click tracking", WARNING,
    "clicks are tracked: links without ses:no-track go through a server of AWS, which sees the secret",
    "keep ses:no-track, or stop tracking clicks", CONFIG_SET,
)  # fmt: skip


def destination(*events: str, enabled: bool = True) -> dict[str, Any]:
    return {"Enabled": enabled, "MatchingEventTypes": [*events]}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({}, [EXISTS, UNPUBLISHED]),
        ({"EventDestinations": [{"Enabled": True}]}, [EXISTS, UNPUBLISHED]),
        ({"EventDestinations": [{"MatchingEventTypes": ["renderingFailure"]}]}, [EXISTS, UNPUBLISHED]),
        ({"EventDestinations": [destination("renderingFailure", enabled=False)]}, [EXISTS, UNPUBLISHED]),
        ({"EventDestinations": [destination("send"), destination("renderingFailure")]}, [EXISTS, PUBLISHED]),
        ({"EventDestinations": [destination("click", "renderingFailure")]}, [EXISTS, PUBLISHED, CLICKS]),
        ({"EventDestinations": [destination("renderingFailure")], "ReputationOptions": {"SendingEnabled": False}},
         [Finding("configuration set", TASK, "sending is paused for tracking", "enable it again", CONFIG_SET),
          PUBLISHED]),
        ({"EventDestinations": [destination("renderingFailure")], "ReputationOptions": {"SendingEnabled": True}},
         [EXISTS, PUBLISHED]),
        ({"EventDestinations": [destination("renderingFailure")], "ReputationOptions": {}}, [EXISTS, PUBLISHED]),
        (NoAnswer(Why.REFUSED, "ConfigurationSetDoesNotExist"),
         [Finding("configuration set", TASK, "there is no tracking in this region",
                  "create it, or set MAILROOM_SES_CONFIG_SET", CONFIG_SET)]),
    ],
)  # fmt: skip
def test_config_set(answer: AwsAnswer, expected: list[Finding]) -> None:
    """It exists, may send, and reports mails that SES accepts and then drops."""
    assert judgement.config_set("tracking", answer) == expected


def test_base_url() -> None:
    """A URL of a developer's machine is not for readers."""
    assert judgement.base_url("https://b.example") == [Finding("base URL", OK, "https://b.example")]
    assert judgement.base_url("http://localhost:3000") == [
        Finding("base URL", WARNING, "http://localhost:3000 leads to the reader's own machine",
                "set MAILROOM_LINK_BASE_URL to where people reach the application")
    ]  # fmt: skip
    assert judgement.base_url(None) == [
        Finding("base URL", WARNING, "unset: the shipped templates, and others that use base_url, need it",
                "set MAILROOM_LINK_BASE_URL, here and for the sender")
    ]  # fmt: skip


DATA = {"login": "Ann", "secret": "S3CR3T", "code": "01234", "base_url": "https://b.example"}
WITHOUT_URL = {name: value for name, value in DATA.items() if name != "base_url"}
FINE = {"SubjectPart": "s", "TextPart": "{{secret}} {{code}}", "HtmlPart": "{{secret}}"}
EVERY_SENDER = "every running sender is of version 0.3 or newer, with MAILROOM_LINK_BASE_URL"
IS_THERE = Finding("t", OK, "exists, and needs only what is sent", "", GET)
RENDERS = Finding("t", OK, "renders with sample data, as text and HTML", "", RENDER)
NO_TEMPLATE = NoAnswer(Why.REFUSED, "TemplateDoesNotExist")
IS_MISSING = Finding("t", TASK, "there is no such template in this region", "mailroom-send templates push t", GET)


def mail(*parts: tuple[str, str]) -> dict[str, str]:
    """Return an answer to TestRenderTemplate with parts of these kinds."""
    bodies = "".join(f"--b\r\nContent-Type: {kind}\r\n\r\n{text}\r\n" for kind, text in parts)
    head = 'Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="b"\r\n\r\n'
    return {"RenderedTemplate": f"{head}{bodies}--b--\r\n"}


TEXT, HTML = ("text/plain", "S3CR3T 01234"), ("text/html", "S3CR3T 01234")


def judged(
    got: AwsAnswer, rendered: AwsAnswer, data: dict[str, str] | None = None, *, escape_html: bool = True
) -> list[Finding]:
    return judgement.template(TemplateAnswers(Sample("t", data or DATA, {}), got, rendered), escape_html)


def test_template_that_is_ready() -> None:
    """It has two lines: the values it needs, and SES's rendered mail."""
    assert judged({"Template": FINE}, mail(TEXT, HTML)) == [IS_THERE, RENDERS]


def test_missing_template_is_reported_once() -> None:
    """If one of two permissions is missing, the other one finds it."""
    assert judged(NO_TEMPLATE, NO_TEMPLATE) == [IS_MISSING]
    by_rendering = Finding("t", TASK, IS_MISSING.found, IS_MISSING.todo, RENDER)
    assert judged(DENIED, NO_TEMPLATE) == [denied("t", GET), by_rendering]
    assert judged(NO_TEMPLATE, DENIED) == [IS_MISSING, denied("t", RENDER)]


@pytest.mark.parametrize(
    ("html", "escape_html", "status", "found", "todo"),
    [
        ("{{nobody}}", True, TASK, "its html uses {{nobody}}, which is not sent: SES drops every such mail",
         "use only login, secret, code, base_url"),
        ("{{login_text}}", True, TASK, "its html uses {{login_text}}, which is not sent: SES drops every such mail",
         "set MAILROOM_LINK_BASE_URL, here and for the sender"),
        ("<bdi>{{login}}</bdi>", False, WARNING, "its HTML shows the login, which is not escaped",
         "set MAILROOM_SES_ESCAPE_HTML=true"),
        ("{{login}}", True, WARNING, "a login could reorder the text around it in its HTML",
         "write <bdi>{{login}}</bdi>"),
    ],
)  # fmt: skip
def test_template_that_uses_unavailable_values(
    html: str, escape_html: bool, status: Status, found: str, todo: str
) -> None:
    """The first fault is named, with what to do."""
    reported = judged({"Template": {**FINE, "HtmlPart": html}}, mail(TEXT, HTML), escape_html=escape_html)
    assert reported == [Finding("t", status, found, todo, GET), RENDERS]


@pytest.mark.parametrize(
    ("parts", "escape_html", "reported"),
    [
        ({"TextPart": "{{login}}"}, True,
         ("its text would show a login like a&b as a&amp;b", f"use {{{{login_text}}}} there once {EVERY_SENDER}")),
        ({"SubjectPart": "{{login}}", "TextPart": "{{login}}", "HtmlPart": "{{login}}"}, True,
         ("its subject and text would show a login like a&b as a&amp;b;"
          " a login could reorder the text around it in its HTML",
          f"use {{{{login_text}}}} there once {EVERY_SENDER}; write <bdi>{{{{login}}}}</bdi>")),
        ({"TextPart": "{{login}}"}, False, None),
        ({"HtmlPart": "<bdi>{{login}}</bdi>"}, True, None),
    ],
)  # fmt: skip
def test_unsafe_display_of_a_login(parts: dict[str, str], escape_html: bool, reported: tuple[str, str] | None) -> None:
    """It is escaped where that shows, or may reverse the text around it."""
    assert altered_login_fault(from_ses({"Template": parts}), escape_html) == reported
    found = judged({"Template": parts}, mail(TEXT, HTML), escape_html=escape_html)[0]
    assert (found.found, found.todo) == (reported or (IS_THERE.found, ""))


def test_login_for_text_is_not_for_html() -> None:
    """It is not escaped."""
    reported = judged(
        {"Template": {**FINE, "HtmlPart": "{{login_text}}"}}, mail(TEXT, HTML), {**DATA, "login_text": "A"}
    )
    found = "its HTML uses {{login_text}}, in which & < > are not escaped"
    assert reported[0] == Finding("t", TASK, found, "use {{login}} in the HTML", GET)


@pytest.mark.parametrize(
    ("rendered", "data", "status", "found", "todo"),
    [
        (NoAnswer(Why.REFUSED, "MissingRenderingAttribute", "x"), WITHOUT_URL, TASK,
         "a value is not sent (MissingRenderingAttribute: x)",
         "if it is base_url or login_text: set MAILROOM_LINK_BASE_URL"),
        (NoAnswer(Why.REFUSED, "MissingRenderingAttribute", "x"), DATA, TASK,
         "a value is not sent (MissingRenderingAttribute: x)", "use only login, secret, code, base_url"),
        ({}, DATA, TASK, "the secret is not in its text, so nobody can use the mail", "use {{secret}} there"),
        (NoAnswer(Why.REFUSED, "Other", "x", "Ask"), WITHOUT_URL, TASK, "AWS refuses Ask (Other: x)", ""),
        (mail(("text/plain", "01234"), HTML), DATA, TASK,
         "the secret is not in its text, so nobody can use the mail", "use {{secret}} there"),
        (mail(("text/plain", "-"), ("text/html", "-")), DATA, TASK,
         "the secret is not in its text and HTML, so nobody can use the mail", "use {{secret}} there"),
        (mail(TEXT, ("text/html", "S3CR3T")), DATA, TASK,
         "the code is not in its HTML, so nobody can use the mail", "use {{code}} there"),
        (mail(TEXT), DATA, WARNING, "renders, but has no HTML part",
         "add one, for mail programs that show only this part"),
        (mail(HTML), DATA, WARNING, "renders, but has no text part",
         "add one, for mail programs that show only this part"),
        (mail(("image/png", "")), DATA, TASK, "it has neither text nor HTML", "push a template with one of them"),
    ],
)  # fmt: skip
def test_template_that_renders_badly(
    rendered: AwsAnswer, data: dict[str, str], status: Status, found: str, todo: str
) -> None:
    """A mail without a use for its reader is an error."""
    assert judged({"Template": FINE}, rendered, data)[1] == Finding("t", status, found, todo, RENDER)


@pytest.mark.parametrize(
    ("answer", "status", "found", "todo"),
    [
        ({"Status": [{"Status": "Success"}]}, OK, "t was accepted; check that it arrives", ""),
        ({"Status": [{"Status": "Queued", "MessageId": "m"}]}, OK, "t was accepted; check that it arrives", ""),
        ({"Status": [{"Status": "Failed", "Error": "why"}]}, TASK, "t was not accepted (Failed: why)", ""),
        ({"Status": [{"Error": "why"}]}, TASK, "t was not accepted (why)", ""),
        ({"Status": []}, TASK, "t was not accepted (no status)", ""),
        ({}, TASK, "t was not accepted (no status)", ""),
        (DENIED, TASK, "t may not be sent (AccessDenied: no)", "allow ses:SendBulkTemplatedEmail"),
        (NoAnswer(Why.REFUSED, "Code", "words", "Ask"), TASK, "AWS refuses Ask (Code: words)", ""),
    ],
)
def test_sample_mail(answer: AwsAnswer, status: Status, found: str, todo: str) -> None:
    """A requested sample that was not sent is an error, also when a permission is missing."""
    assert judgement.mailed(Sample("t", DATA, {}), answer) == Finding("sample mail", status, found, todo, BULK)
