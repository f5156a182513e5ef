"""What mailroom-send check finds in an account: each thing that can be wrong, and its message."""

import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailroom_sender.aws.questions import AwsQuestions
from mailroom_sender.check import checks, judgement
from mailroom_sender.check.finding import Finding, Status, exit_status, lines, summary
from mailroom_sender.settings import SenderSettings
from mailroom_sender.texts.comparison import SENT_BY
from mailroom_sender.texts.files import SHIPPED, read
from tests.support.ses_account import Account, Refused
from tests.support.ses_endpoint import Endpoint, accepted, running_endpoint

NAMES = ["activationv1", "passwordrecoveryv1"]
Change = Callable[[Account], object]
_ACTIONS = [
    "GetAccountSendingEnabled", "GetSendQuota", "GetIdentityVerificationAttributes", "DescribeConfigurationSet",
    "GetTemplate", "TestRenderTemplate",
]  # fmt: skip
BROKEN_TEMPLATE = {"SubjectPart": "s", "TextPart": "{{base_url}} {{secret}}", "HtmlPart": "{{secret}} {{name}}"}


@pytest.fixture
def settings(tmp_path: Path) -> SenderSettings:
    return SenderSettings(
        database_url=None, queue_name="mailroom", debug=False, debug_format="auto", config_set="tracking",
        source="Mailroom <noreply@mail.example.com>", output_path=tmp_path, escape_html=True,
        link_base_url="https://app.example.com", concurrency=4, max_rate=None, lease_ms=30_000,
    )  # fmt: skip


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Endpoint, pytest.MonkeyPatch]]:
    """One endpoint for all tests, because a client takes long to create."""
    with running_endpoint() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "example-key-that-nobody-may-see")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_REGION", "eu-west-1")
        patch.setenv("AWS_ENDPOINT_URL_SES", endpoint.url)
        patch.setenv("AWS_ENDPOINT_URL_STS", endpoint.url)
        yield endpoint, patch


@pytest.fixture(scope="module")
def aws(served: tuple[Endpoint, pytest.MonkeyPatch]) -> Iterator[AwsQuestions]:
    """A client that does not pause."""
    assert served
    aws = AwsQuestions(interval=0, sleep=lambda _: None)
    yield aws
    aws.close()


@pytest.fixture
def endpoint(served: tuple[Endpoint, pytest.MonkeyPatch]) -> Endpoint:
    """An endpoint for which everything is ready."""
    endpoint, _ = served
    endpoint.account = Account()
    endpoint.calls.clear()
    endpoint.decide = lambda _: None
    endpoint.max_send_rate = "14.0"
    for template in read(SHIPPED):
        parts = {name: value for name, value in template.to_ses().items() if name != "TemplateName"}
        endpoint.account.templates[template.name] = parts
    return endpoint


@pytest.fixture
def account(endpoint: Endpoint) -> Account:
    return endpoint.account


@pytest.fixture
def found(endpoint: Endpoint, settings: SenderSettings, aws: AwsQuestions) -> Callable[..., list[Finding]]:
    """Check everything except the database."""
    assert endpoint.account

    def check(
        mail_to: str | None = None, connect: Callable[[], AwsQuestions] = lambda: aws, **changes: Any
    ) -> list[Finding]:
        findings = list(checks.run(replace(settings, **changes), None, mail_to, connect))
        assert not any("nobody-may-see" in finding.found + finding.todo for finding in findings)
        assert findings[-1].check == "database"
        return findings[:-1]

    return check


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Callable[[], AwsQuestions]]]:
    """Return clients for which a service can't be reached."""
    made: list[AwsQuestions] = []

    def without(service: str) -> Callable[[], AwsQuestions]:
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", "http://127.0.0.1:9")
        made.append(AwsQuestions(interval=0))
        return lambda: made[-1]

    yield without
    for aws in made:
        aws.close()


def of(findings: list[Finding], check: str) -> list[Finding]:
    return [finding for finding in findings if finding.check == check]


def test_ready_account_passes(found: Callable[..., list[Finding]]) -> None:
    """Every line is ok, and each question to SES names its permission."""
    findings = found()
    assert {finding.status for finding in findings} == {Status.OK}, findings
    assert [finding.check for finding in findings] == [
        "credentials", "region", "sending", "quota", "identity", "DKIM", "configuration set", "rendering failures",
        *(name for name in NAMES for _ in range(2)), "base URL", "output folder",
    ]  # fmt: skip
    assert [finding.check for finding in findings if not finding.permission] == [
        "credentials", "region", "base URL", "output folder",
    ]  # fmt: skip
    assert (exit_status(findings), summary(findings)) == (0, "ready")


@pytest.mark.parametrize(
    ("change", "check", "status", "says"),
    [
        (lambda a: a.identities.clear(), "identity", Status.TASK, "neither noreply@mail.example.com nor its domain"),
        (lambda a: a.identities.update({"example.com": "Pending"}), "identity", Status.TASK, "example.com is Pending"),
        (lambda a: a.identities.update({"mail.example.com": "Pending"}), "identity", Status.OK, "example.com is"),
        (lambda a: a.dkim.clear(), "DKIM", Status.WARNING, "are not signed"),
        (lambda a: a.config_sets.clear(), "configuration set", Status.TASK, "there is no tracking"),
        (lambda a: setattr(a, "set_may_send", False), "configuration set", Status.TASK, "paused for tracking"),
        (lambda a: a.config_sets["tracking"].pop(), "rendering failures", Status.TASK, "reports it nowhere"),
        (lambda a: setattr(a, "destinations_enabled", False), "rendering failures", Status.TASK, "reports it nowhere"),
        (lambda a: a.config_sets["tracking"].append("click"), "click tracking", Status.WARNING, "ses:no-track"),
        (lambda a: setattr(a, "is_enabled", False), "sending", Status.TASK, "paused for this account"),
        (lambda a: setattr(a, "quota", (200.0, 3.0)), "quota", Status.OK, "3 of 200 used"),
        (lambda a: setattr(a, "quota", (50_000.0, 41_000.0)), "quota", Status.WARNING, "nearly used up"),
        (lambda a: setattr(a, "quota", (50_000.0, 50_000.0)), "quota", Status.TASK, "50,000 of 50,000"),
        (lambda a: setattr(a, "quota", (-1.0, 9.0)), "quota", Status.OK, "no daily limit; 14 a second"),
        (lambda a: a.templates.pop(NAMES[0]), NAMES[0], Status.TASK, "templates push activationv1"),
        (lambda a: a.templates.update({NAMES[0]: BROKEN_TEMPLATE}), NAMES[0], Status.TASK, "html uses {{name}}, which"),
        (lambda a: a.templates[NAMES[0]].update(TextPart="hello"), NAMES[0], Status.TASK, "secret is not in its text"),
        (lambda a: a.templates[NAMES[1]].update(HtmlPart="{{secret}}"), NAMES[1], Status.TASK, "code is not in its"),
        (lambda a: a.templates[NAMES[1]].pop("TextPart"), NAMES[1], Status.WARNING, "has no text part"),
    ],
)  # fmt: skip
def test_each_fault_has_its_status_and_advice(
    account: Account, found: Callable[..., list[Finding]], change: Change, check: str, status: Status, says: str
) -> None:
    """Only its own line changes. All other checks stay the same."""
    change(account)
    findings = found()
    worst = [finding for finding in of(findings, check) if finding.status is status]
    assert any(says in f"{finding.found} {finding.todo}" for finding in worst), findings
    assert all(finding.todo for finding in findings if finding.status is not Status.OK)
    assert {f.check for f in findings if f.status is not Status.OK} <= {check}


def test_documented_policies_match_the_calls(found: Callable[..., list[Finding]]) -> None:
    """The policies in docs allow the calls of the check and of the template commands, and no others."""
    sender, check = policies("going-live.md")
    assert check == {finding.permission for finding in found() if finding.permission}
    assert sender == {"ses:SendBulkTemplatedEmail", "ses:GetSendQuota"}
    calls = {"GetTemplate", "CreateTemplate", "UpdateTemplate", "TestRenderTemplate"}
    assert policies("templates.md") == [{f"ses:{call}" for call in calls}]


def policies(page: str) -> list[set[str]]:
    """Return the actions of each policy in a page."""
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    read = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]
    listed = [[statement["Action"] for statement in policy["Statement"]] for policy in read]
    return [
        {one for action in actions for one in ([action] if isinstance(action, str) else action)} for actions in listed
    ]


def test_sandbox_is_recognized(endpoint: Endpoint, account: Account, found: Callable[..., list[Finding]]) -> None:
    """200 mails a day and one a second mean a sandbox, in which only verified addresses get mail."""
    endpoint.max_send_rate, account.quota = "1.0", (200.0, 3.0)
    (quota,) = of(found(), "quota")
    assert (quota.status, "sandbox" in quota.todo) == (Status.WARNING, True)


@pytest.mark.parametrize(
    ("changes", "check", "status", "says"),
    [
        ({"link_base_url": None}, NAMES[0], Status.TASK, "set MAILROOM_LINK_BASE_URL"),
        ({"link_base_url": None}, NAMES[1], Status.TASK, "set MAILROOM_LINK_BASE_URL"),
        ({"link_base_url": None}, "base URL", Status.WARNING, "unset: the shipped templates"),
        ({"link_base_url": "http://localhost:3000"}, "base URL", Status.WARNING, "own machine"),
        ({"escape_html": False}, NAMES[1], Status.WARNING, "its HTML shows the login, which is not escaped"),
        ({"max_rate": 100}, "quota", Status.WARNING, "MAILROOM_SES_MAX_RATE is 100"),
        ({"config_set": "other"}, "configuration set", Status.TASK, "there is no other"),
        ({"output_path": Path("/dev/null")}, "output folder", Status.TASK, "is not a folder"),
        ({"output_path": Path("/proc/1/x")}, "output folder", Status.TASK, ""),
    ],
)
def test_settings_that_do_not_fit_are_reported(
    found: Callable[..., list[Finding]], changes: dict[str, object], check: str, status: Status, says: str
) -> None:
    """These are combinations of AWS's and the sender's settings."""
    findings = [finding for finding in of(found(**changes), check) if finding.status is not Status.OK]
    if not findings and changes.get("output_path") == Path("/proc/1/x"):
        pytest.skip("os.access() says that root may make it")
    assert {finding.status for finding in findings} == {status}
    assert any(says in f"{finding.found} {finding.todo}" for finding in findings)


@pytest.mark.parametrize(
    ("changed", "escape_html", "status", "found_", "todo"),
    [
        ({"TextPart": "{{login}}"}, True, Status.WARNING, "its text would show a login like a&b as a&amp;b",
         f"use {{{{login_text}}}} there once {SENT_BY['login_text']}"),
        ({"SubjectPart": "{{login}}", "TextPart": "{{login}}"}, True, Status.WARNING,
         "its subject and text would show a login like a&b as a&amp;b",
         f"use {{{{login_text}}}} there once {SENT_BY['login_text']}"),
        ({"TextPart": "{{login}}", "HtmlPart": "{{base_url}}"}, False, Status.OK, "", ""),
        ({"HtmlPart": "<b>{{login}}</b>"}, True, Status.WARNING, "a login could reorder the text around it in its HTML",
         "write <bdi>{{login}}</bdi>"),
        ({"HtmlPart": "<b dir=auto>{{login}}</b>"}, True, Status.OK, "", ""),
        ({"HtmlPart": "<bdi>{{login_text}}</bdi>"}, True, Status.TASK,
         "its HTML uses {{login_text}}, in which & < > are not escaped", "use {{login}} in the HTML"),
    ],
)  # fmt: skip
def test_unsafe_display_of_a_login_is_reported(
    account: Account, found: Callable[..., list[Finding]], changed: dict[str, str], escape_html: bool, status: Status,
    found_: str, todo: str,
) -> None:  # fmt: skip
    """A login is escaped where that shows, not escaped where it is needed, or may reverse the text around it."""
    kept = {"SubjectPart": "s", "TextPart": "{{secret}} {{code}}", "HtmlPart": "{{secret}} {{code}}"}
    account.templates[NAMES[1]] = {part: kept[part] + changed.get(part, "") for part in kept}
    exists, renders = of(found(escape_html=escape_html), NAMES[1])
    assert (exists.status, renders.status) == (status, Status.OK)
    if status is not Status.OK:
        assert (exists.found, exists.todo) == (found_, todo)


def test_missing_permission_is_a_warning(account: Account, found: Callable[..., list[Finding]]) -> None:
    """It names the permission. A user that may only send learns which checks were skipped, and can still send."""
    ses = {"GetAccountSendingEnabled", "GetIdentityVerificationAttributes", "DescribeConfigurationSet", "GetTemplate",
           "TestRenderTemplate"}  # fmt: skip
    account.denied.update(ses)
    findings = found()
    reported = {f.permission: f for f in findings if f.status is Status.WARNING}
    assert set(reported) == {f"ses:{action}" for action in ses}
    assert all(f.todo == f"allow {permission}" for permission, f in reported.items())
    assert exit_status(findings) == 0


def test_missing_base_url_is_found_without_reading_the_template(
    account: Account, found: Callable[..., list[Finding]]
) -> None:
    """TestRenderTemplate alone shows it."""
    account.denied.add("GetTemplate")
    findings = [f for f in of(found(link_base_url=None), NAMES[0]) if f.status is Status.TASK]
    assert "set MAILROOM_LINK_BASE_URL" in findings[0].todo


def test_throttled_call_is_repeated(endpoint: Endpoint, account: Account, found: Callable[..., list[Finding]]) -> None:
    """SES accepts these calls once a second, whoever makes them."""
    account.errors["GetTemplate"] = deque([Refused("Throttling", "Rate exceeded")] * 3)
    assert {finding.status for finding in found()} == {Status.OK}
    account.errors["GetTemplate"] = deque([Refused("Throttling", "Rate exceeded")] * 5)
    findings = found()
    (reported,) = [f for f in findings if f.status is not Status.OK]
    assert (reported.status, reported.found.partition(" (")[0]) == (
        Status.WARNING,
        f"not checked: {endpoint.url} throttles GetTemplate",
    )


def test_refusal_names_the_service_and_the_call(
    endpoint: Endpoint, account: Account, found: Callable[..., list[Finding]]
) -> None:
    """A custom endpoint is not called AWS. The reason is printed once, without useless advice."""
    account.errors["GetTemplate"] = deque([Refused("InvalidAction", "not here")] * 2)
    reported = [f for f in found() if f.status is not Status.OK]
    assert {(f.status, f.found, f.todo) for f in reported} == {
        (Status.TASK, f"{endpoint.url} refuses GetTemplate (InvalidAction: not here)", "")
    }


def test_server_error_is_not_repeated(
    endpoint: Endpoint, account: Account, found: Callable[..., list[Finding]]
) -> None:
    """A 500 is AWS's fault and says nothing about the account."""
    account.errors["GetAccountSendingEnabled"] = deque([Refused("InternalFailure", "oops", 500)])
    (reported,) = [f for f in found() if f.status is not Status.OK]
    assert (reported.check, reported.status) == ("sending", Status.WARNING)
    said = "does not answer GetAccountSendingEnabled as it should (InternalFailure: oops)"
    assert reported.found == f"not checked: {endpoint.url} {said}"


def test_calls_of_one_name_are_a_second_apart(account: Account) -> None:
    """The pause is between calls of one name only."""
    slept: list[float] = []
    aws = AwsQuestions(sleep=slept.append)
    for action in ("GetTemplate", "GetTemplate", "TestRenderTemplate"):
        aws.ask(action, TemplateName=NAMES[0], **({"TemplateData": "{}"} if action == "TestRenderTemplate" else {}))
    aws.close()
    assert [pause > 1 for pause in slept] == [False, True, False]
    assert account.asked["GetTemplate"] == 2


@pytest.mark.parametrize("code", ["InvalidClientTokenId", "ExpiredToken", "SignatureDoesNotMatch"])
def test_refused_credentials_are_reported_once(
    account: Account, found: Callable[..., list[Finding]], code: str
) -> None:
    """No further call is made."""
    account.errors["GetCallerIdentity"] = deque([Refused(code, "no", 403)])
    account.errors["GetAccountSendingEnabled"] = deque([Refused(code, "no", 403)])
    findings = found()
    assert [f.check for f in findings if f.status is Status.TASK] == ["credentials", "sending"]
    assert sum(account.asked.values()) == 2


def test_endpoint_that_is_not_ses_is_reported_twice_at_most(
    endpoint: Endpoint, found: Callable[..., list[Finding]]
) -> None:
    """A proxy's page in place of SES is an error."""
    endpoint.account.garbage.update(_ACTIONS)
    findings = found()
    reported = [f.found for f in findings if f.status is Status.TASK]
    assert reported == [
        f"what {endpoint.url} answers to {action} can't be read (ResponseParserError)" for action in _ACTIONS[:2]
    ]
    assert {f.found for f in findings if f.status is Status.WARNING} == {"not checked, for the reason above"}


@pytest.mark.parametrize("action", ["GetAccountSendingEnabled", "GetTemplate"])
def test_unknown_action_stops_no_other_check(
    endpoint: Endpoint, found: Callable[..., list[Finding]], action: str
) -> None:
    """An SES that is not AWS's may lack some actions."""
    endpoint.account.garbage.add(action)
    reported = {f.found for f in found() if f.status is not Status.OK}
    assert reported == {f"what {endpoint.url} answers to {action} can't be read (ResponseParserError)"}


def test_unreachable_sts_is_no_error(
    found: Callable[..., list[Finding]], unreachable: Callable[[str], Callable[[], AwsQuestions]]
) -> None:
    """A network may allow only SES."""
    findings = found(connect=unreachable("STS"))
    assert [(f.check, f.status) for f in findings if f.status is not Status.OK] == [("credentials", Status.WARNING)]


def test_unreachable_ses_is_called_once(
    found: Callable[..., list[Finding]], unreachable: Callable[[str], Callable[[], AwsQuestions]]
) -> None:
    """There is one timeout, not ten."""
    findings = found(connect=unreachable("SES"))
    (reported,) = [f for f in findings if f.status is Status.TASK]
    assert "can't be reached" in reported.found
    assert {f.found for f in findings if f.status is Status.WARNING} == {"not checked, for the reason above"}


def test_default_region_is_a_warning(monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint) -> None:
    """us-east-1 is only a guess. A custom endpoint is reported too, because it may be forgotten."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_SES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    aws = AwsQuestions()
    aws.close()
    reported = judgement.region(aws.region, aws.region_is_chosen, aws.own_endpoint)
    assert (reported.status, reported.found, reported.todo) == (
        Status.WARNING,
        "us-east-1, because none is set",
        "set AWS_REGION",
    )
    assert judgement.region("eu-west-1", True, endpoint.url).found == f"eu-west-1, asked at {endpoint.url}"


def test_missing_credentials_are_reported(
    account: Account, settings: SenderSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The other checks still run."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    findings = list(checks.run(settings, None, None, AwsQuestions))
    assert "no AWS credentials are found" in findings[0].found
    assert [f.check for f in findings] == ["credentials", "base URL", "output folder", "database"]
    assert not account.asked


def test_sample_mails_are_sent_on_request(endpoint: Endpoint, found: Callable[..., list[Finding]]) -> None:
    """They use the calls of the sender. A refusal is an error."""
    endpoint.decide = lambda call: (
        accepted([("MessageRejected", "Email address is not verified")]) if call.template == NAMES[1] else None
    )
    findings = of(found("success@simulator.amazonses.com"), "sample mail")
    assert [f.status for f in findings] == [Status.OK, Status.TASK]
    assert "not verified" in findings[1].found
    assert [call.addresses for call in endpoint.calls] == [["success@simulator.amazonses.com"]] * 2
    assert '"base_url":"https://app.example.com"' in endpoint.calls[0].destinations[0][1]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_lines_fit_the_terminal(width: int) -> None:
    """Nothing is cut off, and no line is too wide."""
    finding = Finding("rendering failures", Status.TASK, "word " * 40, "do this " * 20, "ses:Something")
    reported = lines(finding, width)
    assert max(map(len, reported)) <= max(width, 50)
    assert " ".join(" ".join(reported).split()).count("do this") == 20
    assert reported[0].startswith("to do    rendering failures   word")
    assert len(lines(finding, None)) == 1


def test_counts_are_summed_up() -> None:
    """The last line says whether the configuration is ready for going live."""
    todo, warning = (Finding("x", status, "") for status in (Status.TASK, Status.WARNING))
    assert summary([todo, warning, warning]) == "1 thing to do, 2 warnings"
    assert summary([warning]) == "ready, with 1 warning"
