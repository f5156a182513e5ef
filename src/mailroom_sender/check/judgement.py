"""Pure: turns answers of AWS into findings: what an answer means, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mailroom_sender.address.base_url import is_local
from mailroom_sender.address.from_address import domain_of, is_public
from mailroom_sender.address.identity import address_of, identities_of
from mailroom_sender.aws.no_answer import NoAnswer, Why
from mailroom_sender.check.finding import Finding, Status
from mailroom_sender.texts.comparison import fault_and_remedy, unknown_names
from mailroom_sender.texts.handlebars import names
from mailroom_sender.texts.login_display import altered_login_fault, markup_fault
from mailroom_sender.texts.mime import parse
from mailroom_sender.texts.sample import Sample
from mailroom_sender.texts.template import from_ses

AwsAnswer = dict[str, Any] | NoAnswer

_SANDBOX: Final = (200.0, 1.0)  # mails a day and a second (SES Developer Guide, "Request production access")
_UNLIMITED: Final = -1.0
_NEARLY: Final = 0.8  # of the daily quota
_VERIFIED: Final = "Success"
_FAILED_ALREADY: Final = "not checked, for the reason above"


def unanswered(check: str, permission: str, answer: NoAnswer) -> Finding:
    """Return the finding for a question without an answer. A missing permission is only a warning."""
    if answer.why is Why.DENIED:
        return Finding(
            check, Status.WARNING, "not checked: the permission is missing", f"allow {permission}", permission
        )
    if answer.why in (Why.THROTTLED, Why.BROKEN):
        found = f"not checked: {answer.text}"
        return Finding(check, Status.WARNING, found, "try again in a while", permission)
    if answer.why is Why.ALREADY_FAILED:
        return Finding(check, Status.WARNING, _FAILED_ALREADY, "", permission)
    return Finding(check, Status.TASK, answer.text, _HINTS.get(answer.why, ""), permission)


_HINTS: Final = {
    Why.CREDENTIALS: "correct the AWS credentials, and the clock of this machine",
    Why.UNREACHABLE: "check AWS_REGION, AWS_ENDPOINT_URL_SES and the network",
    Why.UNREADABLE: "check AWS_REGION, AWS_ENDPOINT_URL_SES and the network",
}


def credentials(answer: AwsAnswer, source: str) -> Finding:
    """Return the owner of the sender's credentials. The question needs no permission."""
    check = "credentials"
    if not isinstance(answer, NoAnswer):
        return Finding(check, Status.OK, f"{answer.get('Arn', 'unnamed')} (from {source})")
    if answer.why is Why.CREDENTIALS:
        return Finding(check, Status.TASK, answer.text, _HINTS[answer.why])
    # A firewall may allow SES and nothing else.
    found = f"found (from {source}), but their owner is not known: STS says {answer.words}"
    return Finding(check, Status.WARNING, found)


def region(name: str, is_chosen: bool, own_endpoint: str | None) -> Finding:
    """Return the region. Identities, templates and quotas belong to one region."""
    if own_endpoint is not None:
        return Finding("region", Status.OK, f"{name}, asked at {own_endpoint}")
    if is_chosen:
        return Finding("region", Status.OK, name)
    return Finding("region", Status.WARNING, f"{name}, because none is set", "set AWS_REGION")


def sending(answer: AwsAnswer) -> Finding:
    """Return whether the account may send at all."""
    check, permission = "sending", "ses:GetAccountSendingEnabled"
    if isinstance(answer, NoAnswer):
        return unanswered(check, permission, answer)
    if answer.get("Enabled"):
        return Finding(check, Status.OK, "enabled for this account and region", permission=permission)
    todo = "find out why; then 'aws ses update-account-sending-enabled --enabled'"
    return Finding(check, Status.TASK, "paused for this account and region", todo, permission)


def quota(answer: AwsAnswer, max_rate: int | None) -> Finding:
    """Return how many mails a day and a second are allowed, and how many were sent."""
    check, permission = "quota", "ses:GetSendQuota"
    if isinstance(answer, NoAnswer):
        return unanswered(check, permission, answer)
    most, rate, used = (float(answer.get(n, 0.0)) for n in ("Max24HourSend", "MaxSendRate", "SentLast24Hours"))
    a_day = "no daily limit" if most == _UNLIMITED else f"{used:,.0f} of {most:,.0f} used in 24 hours"
    found = f"{a_day}; {rate:,.0f} a second"
    if most != _UNLIMITED and used >= most:
        return Finding(check, Status.TASK, found, "wait, or ask AWS for a higher quota", permission)
    if (most, rate) == _SANDBOX:
        todo = "the account is in the sandbox: only verified addresses get mail; ask AWS for production access"
        return Finding(check, Status.WARNING, found, todo, permission)
    if max_rate is not None and max_rate > rate:
        todo = f"MAILROOM_SES_MAX_RATE is {max_rate}: unset it, or SES will throttle"
        return Finding(check, Status.WARNING, found, todo, permission)
    if most != _UNLIMITED and used >= _NEARLY * most:
        return Finding(check, Status.WARNING, found, "it is nearly used up: ask AWS for a higher quota", permission)
    return Finding(check, Status.OK, found, permission=permission)


def source(encoded: str, own_endpoint: str | None) -> list[Finding]:
    """Return the finding about a From whose domain SES never accepts. An endpoint that is not AWS may accept it."""
    if is_public(encoded):
        return []
    status = Status.TASK if own_endpoint is None else Status.WARNING
    found = f"it is {encoded}, and SES refuses every mail from {domain_of(encoded)}"
    return [Finding("From", status, found, "set MAILROOM_SES_SOURCE, here and for the sender")]


def identity(source: str, answer: AwsAnswer) -> tuple[Finding, str | None]:
    """Return whether the From is verified, and by which identity."""
    check, permission = "identity", "ses:GetIdentityVerificationAttributes"
    if isinstance(answer, NoAnswer):
        return unanswered(check, permission, answer), None
    known: dict[str, dict[str, Any]] = answer.get("VerificationAttributes", {})
    status = {
        name: str(known[name].get("VerificationStatus")) for name in identities_of(address_of(source)) if name in known
    }
    for name, verified in status.items():
        if verified == _VERIFIED:
            return Finding(
                check, Status.OK, f"{name} is verified, for {address_of(source)}", permission=permission
            ), name
    for name, pending in status.items():
        found = f"the verification of {name} is {pending}"
        return Finding(
            check, Status.TASK, found, "finish it: publish the DNS records, or open the mail from AWS", permission
        ), None
    found = f"neither {address_of(source)} nor its domain is known to SES here"
    todo = "verify the domain in SES, in this region, or set MAILROOM_SES_SOURCE"
    return Finding(check, Status.TASK, found, todo, permission), None


def dkim(name: str, answer: AwsAnswer) -> Finding:
    """Return whether mails are signed. Many receivers treat unsigned mails as spam."""
    check, permission = "DKIM", "ses:GetIdentityDkimAttributes"
    if isinstance(answer, NoAnswer):
        return unanswered(check, permission, answer)
    known: dict[str, Any] = answer.get("DkimAttributes", {}).get(name, {})
    if known.get("DkimEnabled") and known.get("DkimVerificationStatus") == _VERIFIED:
        return Finding(check, Status.OK, f"mails of {name} are signed", permission=permission)
    todo = f"set up Easy DKIM for {name}, or receivers may treat them as spam"
    return Finding(check, Status.WARNING, f"mails of {name} are not signed", todo, permission)


def config_set(name: str, answer: AwsAnswer) -> list[Finding]:
    """Return whether the set exists, may send, and publishes rendering failures of mails that SES accepted."""
    check, permission = "configuration set", "ses:DescribeConfigurationSet"
    if isinstance(answer, NoAnswer):
        if answer.code == "ConfigurationSetDoesNotExist":
            todo = "create it, or set MAILROOM_SES_CONFIG_SET"
            return [Finding(check, Status.TASK, f"there is no {name} in this region", todo, permission)]
        return [unanswered(check, permission, answer)]
    findings = [Finding(check, Status.OK, f"{name} exists", permission=permission)]
    if answer.get("ReputationOptions", {}).get("SendingEnabled", True) is False:
        findings = [Finding(check, Status.TASK, f"sending is paused for {name}", "enable it again", permission)]
    destinations = [one for one in answer.get("EventDestinations", []) if one.get("Enabled")]
    events = {event for one in destinations for event in one.get("MatchingEventTypes", [])}
    check = "rendering failures"
    if "renderingFailure" in events:
        findings.append(Finding(check, Status.OK, "are published", permission=permission))
    else:
        found = "are not published: SES drops a mail that it can't render, and reports it nowhere"
        todo = f"give {name} an event destination, enabled, with renderingFailure"
        findings.append(Finding(check, Status.TASK, found, todo, permission))
    if "click" in events:
        found = "clicks are tracked: links without ses:no-track go through a server of AWS, which sees the secret"
        findings.append(
            Finding("click tracking", Status.WARNING, found, "keep ses:no-track, or stop tracking clicks", permission)
        )
    return findings


def base_url(url: str | None) -> list[Finding]:
    """Return the finding about the base URL. If it is unset, the templates' findings say whether mails get lost."""
    if url is None:
        found = "unset: the shipped templates, and others that use base_url, need it"
        return [Finding("base URL", Status.WARNING, found, "set MAILROOM_LINK_BASE_URL, here and for the sender")]
    if is_local(url):
        todo = "set MAILROOM_LINK_BASE_URL to where people reach the application"
        return [Finding("base URL", Status.WARNING, f"{url} leads to the reader's own machine", todo)]
    return [Finding("base URL", Status.OK, url)]


@dataclass(frozen=True, slots=True)
class TemplateAnswers:
    """A sample, and the answers of SES about its template."""

    sample: Sample
    got: AwsAnswer
    rendered: AwsAnswer


def template(asked: TemplateAnswers, escape_html: bool) -> list[Finding]:
    """Return whether a template exists, needs only values that are sent, renders, and shows the secret and the code."""
    exists = _exists(asked, escape_html)
    is_missing = isinstance(asked.rendered, NoAnswer) and asked.rendered.code == "TemplateDoesNotExist"
    return [exists] if is_missing and exists.status is Status.TASK else [exists, _renders(asked)]


def _exists(asked: TemplateAnswers, escape_html: bool) -> Finding:
    check, permission = asked.sample.template, "ses:GetTemplate"
    if isinstance(asked.got, NoAnswer):
        if asked.got.code == "TemplateDoesNotExist":
            return _missing(check, permission)
        return unanswered(check, permission, asked.got)
    found = from_ses(asked.got)
    for name, parts in unknown_names(found, asked.sample.data).items():
        said, todo = fault_and_remedy(name, parts, asked.sample.data)
        return Finding(check, Status.TASK, f"{said}: SES drops every such mail", todo, permission)
    if markup := markup_fault(found):
        return Finding(check, Status.TASK, *markup, permission)
    if not escape_html and "login" in names(found.html):
        todo = "set MAILROOM_SES_ESCAPE_HTML=true"
        return Finding(check, Status.WARNING, "its HTML shows the login, which is not escaped", todo, permission)
    if otherwise := altered_login_fault(found, escape_html):
        return Finding(check, Status.WARNING, *otherwise, permission)
    return Finding(check, Status.OK, "exists, and needs only what is sent", permission=permission)


def _missing(name: str, permission: str) -> Finding:
    todo = f"mailroom-send templates push {name}"
    return Finding(name, Status.TASK, "there is no such template in this region", todo, permission)


def _renders(asked: TemplateAnswers) -> Finding:
    check, permission = asked.sample.template, "ses:TestRenderTemplate"
    answer = asked.rendered
    if isinstance(answer, NoAnswer):
        if answer.code == "TemplateDoesNotExist":
            return _missing(check, permission)
        if answer.code == "MissingRenderingAttribute" and "base_url" not in asked.sample.data:
            todo = "if it is base_url or login_text: set MAILROOM_LINK_BASE_URL"
            return Finding(check, Status.TASK, f"a value is not sent ({answer.words})", todo, permission)
        if answer.code == "MissingRenderingAttribute":
            todo = f"use only {', '.join(asked.sample.data)}"
            return Finding(check, Status.TASK, f"a value is not sent ({answer.words})", todo, permission)
        return unanswered(check, permission, answer)
    mail = parse(str(answer.get("RenderedTemplate", "")))
    parts = {"text": mail.text, "HTML": mail.html}
    for name, value in asked.sample.secrets.items():
        lacking = [part for part, text in parts.items() if text is not None and value not in text]
        if lacking:
            found = f"the {name} is not in its {' and '.join(lacking)}, so nobody can use the mail"
            return Finding(check, Status.TASK, found, f"use {{{{{name}}}}} there", permission)
    absent = [part for part, text in parts.items() if text is None]
    if len(absent) == len(parts):
        todo = "push a template with one of them"
        return Finding(check, Status.TASK, "it has neither text nor HTML", todo, permission)
    if absent:
        found = f"renders, but has no {absent[0]} part"
        return Finding(check, Status.WARNING, found, "add one, for mail programs that show only this part", permission)
    return Finding(check, Status.OK, "renders with sample data, as text and HTML", permission=permission)


def mailed(sample: Sample, answer: AwsAnswer) -> Finding:
    """Return whether SES accepted a sample mail that was really sent."""
    check, permission = "sample mail", "ses:SendBulkTemplatedEmail"
    if isinstance(answer, NoAnswer):
        if answer.why is Why.DENIED:
            found = f"{sample.template} may not be sent ({answer.words})"
            return Finding(check, Status.TASK, found, f"allow {permission}", permission)
        return unanswered(check, permission, answer)
    statuses: Sequence[dict[str, Any]] = answer.get("Status") or [{}]
    if statuses[0].get("Status") == "Success" or statuses[0].get("MessageId"):  # only an accepted mail has a MessageId
        found = f"{sample.template} was accepted; check that it arrives"
        return Finding(check, Status.OK, found, permission=permission)
    said = ": ".join(str(statuses[0][key]) for key in ("Status", "Error") if statuses[0].get(key)) or "no status"
    return Finding(check, Status.TASK, f"{sample.template} was not accepted ({said})", permission=permission)
