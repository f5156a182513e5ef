"""The local SES's knowledge of an account, and its answers: identities, configuration sets, templates, quota.

Answers are XML as SES sends it (query protocol, version 2010-12-01), and STS's GetCallerIdentity.
"""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

Form = Mapping[str, str]
Parts = dict[str, str]  # SubjectPart, TextPart, HtmlPart

_SES = "http://ses.amazonaws.com/doc/2010-12-01/"
_STS = "https://sts.amazonaws.com/doc/2011-06-15/"
GARBAGE = b"<html><p>Sign in to this network"
_PARTS = ("SubjectPart", "TextPart", "HtmlPart")


class Refused(Exception):
    """An error in SES's terms."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass
class Account:
    """An account without faults, until a test changes it."""

    arn: str = "arn:aws:iam::123456789012:user/mailroom"
    identities: dict[str, str] = field(default_factory=lambda: {"example.com": "Success"})
    dkim: dict[str, str] = field(default_factory=lambda: {"example.com": "Success"})
    config_sets: dict[str, list[str]] = field(default_factory=lambda: {"tracking": ["bounce", "renderingFailure"]})
    destinations_enabled: bool = True
    set_may_send: bool = True
    templates: dict[str, Parts] = field(default_factory=dict)
    quota: tuple[float, float] = (50_000.0, 120.0)  # a day, and used; the rate is the endpoint's max_send_rate
    is_enabled: bool = True
    denied: set[str] = field(default_factory=set)  # actions that are not permitted
    garbage: set[str] = field(default_factory=set)  # actions whose answer is not from SES
    errors: dict[str, deque[Refused]] = field(default_factory=dict)  # for the next calls of an action, in order
    asked: Counter[str] = field(default_factory=Counter)

    def knows(self, action: str) -> bool:
        return action in _ANSWERS

    def answer(self, form: Form) -> bytes:
        """Return the body of the answer. Raises Refused."""
        action = form["Action"]
        self.asked[action] += 1
        if action in self.denied:
            raise Refused("AccessDenied", f"User: {self.arn} is not authorized to perform: ses:{action}", 403)
        if self.errors.get(action):
            raise self.errors[action].popleft()
        body = _ANSWERS[action](self, form)
        namespace = _STS if action == "GetCallerIdentity" else _SES
        return (
            f'<{action}Response xmlns="{namespace}"><{action}Result>{body}</{action}Result>'
            f"<ResponseMetadata><RequestId>r-4</RequestId></ResponseMetadata></{action}Response>"
        ).encode()

    def _caller(self, _: Form) -> str:
        return _xml(Arn=self.arn, UserId="AIDAEXAMPLE", Account="123456789012")

    def _sending(self, _: Form) -> str:
        return _xml(Enabled=str(self.is_enabled).lower())

    def _verification(self, form: Form) -> str:
        entries = [
            (name, _xml(VerificationStatus=self.identities[name])) for name in _members(form) if name in self.identities
        ]
        return f"<VerificationAttributes>{_entries(entries)}</VerificationAttributes>"

    def _dkim(self, form: Form) -> str:
        entries = [
            (name, _xml(DkimEnabled="true", DkimVerificationStatus=self.dkim.get(name, "NotStarted")))
            for name in _members(form)
        ]
        return f"<DkimAttributes>{_entries(entries)}</DkimAttributes>"

    def _config_set(self, form: Form) -> str:
        name = form["ConfigurationSetName"]
        if name not in self.config_sets:
            raise Refused("ConfigurationSetDoesNotExist", f"Configuration set <{name}> does not exist.")
        assert form["ConfigurationSetAttributeNames.member.1"] == "eventDestinations"
        types = "".join(f"<member>{event}</member>" for event in self.config_sets[name])
        return (
            f"<ConfigurationSet>{_xml(Name=name)}</ConfigurationSet><EventDestinations><member>"
            f"{_xml(Name='sns', Enabled=str(self.destinations_enabled).lower())}"
            f"<MatchingEventTypes>{types}</MatchingEventTypes></member></EventDestinations>"
            f"<ReputationOptions>{_xml(SendingEnabled=str(self.set_may_send).lower())}</ReputationOptions>"
        )

    def _get_template(self, form: Form) -> str:
        parts = self._template(form["TemplateName"])
        return f"<Template>{_xml(TemplateName=form['TemplateName'], **parts)}</Template>"

    def _template(self, name: str) -> Parts:
        if name not in self.templates:
            raise Refused("TemplateDoesNotExist", f"Template {name} does not exist.")
        return self.templates[name]

    def _create(self, form: Form) -> str:
        if form["Template.TemplateName"] in self.templates:
            raise Refused("AlreadyExists", f"Template {form['Template.TemplateName']} already exists.")
        return self._put(form)

    def _update(self, form: Form) -> str:
        self._template(form["Template.TemplateName"])
        return self._put(form)

    def _put(self, form: Form) -> str:
        parts = {part: form[f"Template.{part}"] for part in _PARTS if f"Template.{part}" in form}
        self.templates[form["Template.TemplateName"]] = parts
        return ""

    def _render(self, form: Form) -> str:
        parts = self._template(form["TemplateName"])
        data = json.loads(form["TemplateData"])

        def value(match: re.Match[str]) -> str:
            if match[1] not in data:
                message = f"Attribute '{match[1]}' is not present in the rendering data."
                raise Refused("MissingRenderingAttribute", message)
            return str(data[match[1]])

        done = {part: re.sub(r"\{\{\{?\s*(\w+)\s*\}?\}\}", value, text) for part, text in parts.items()}
        bodies = "".join(
            f"--b\nContent-Type: text/{kind}; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\n{done[part]}\n"
            for kind, part in (("plain", "TextPart"), ("html", "HtmlPart"))
            if part in done
        )
        head = "MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=b"
        return _xml(RenderedTemplate=f"Subject: {done['SubjectPart']}\n{head}\n\n{bodies}--b--\n")


def _xml(**values: str) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())


def _entries(entries: list[tuple[str, str]]) -> str:
    return "".join(f"<entry><key>{escape(key)}</key><value>{value}</value></entry>" for key, value in entries)


def _members(form: Form) -> list[str]:
    return [value for name, value in form.items() if name.startswith("Identities.member.")]


_ANSWERS = {
    "GetCallerIdentity": Account._caller,
    "GetAccountSendingEnabled": Account._sending,
    "GetIdentityVerificationAttributes": Account._verification,
    "GetIdentityDkimAttributes": Account._dkim,
    "DescribeConfigurationSet": Account._config_set,
    "GetTemplate": Account._get_template,
    "CreateTemplate": Account._create,
    "UpdateTemplate": Account._update,
    "TestRenderTemplate": Account._render,
}
