"""Runs the check: asks AWS, the database and the disk, and turns the answers into findings."""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from mailroom_runtime.errors import MailroomError
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_sender.address.identity import address_of, identities_of
from mailroom_sender.aws.no_answer import NoAnswer, Why
from mailroom_sender.check import judgement
from mailroom_sender.check.database_role import actions, database
from mailroom_sender.check.finding import Finding, Status
from mailroom_sender.check.lone_mails import lone_mails
from mailroom_sender.check.output_folder import output_folder
from mailroom_sender.input.action import MailAction
from mailroom_sender.ses.request import Envelope
from mailroom_sender.settings import SenderSettings
from mailroom_sender.texts.sample import samples

if TYPE_CHECKING:
    from mailroom_sender.aws.questions import AwsQuestions

_FOR_GOOD: Final = (Why.CREDENTIALS, Why.UNREACHABLE)
_UNREADABLE: Final = 2
"""So many unreadable answers without a readable one show that the server is not SES. A single one does not."""
_ALREADY_FAILED = NoAnswer(Why.ALREADY_FAILED, "")


class _Ses:
    """Asks SES, until it is clear that no answer will come. Otherwise a person would wait for ten timeouts."""

    def __init__(self, aws: "AwsQuestions") -> None:
        self._aws = aws
        self._has_failed = False
        self._is_ses = False
        self._unreadable = 0

    def ask(self, action: str, **parameters: Any) -> judgement.AwsAnswer:
        if self._has_failed:
            return _ALREADY_FAILED
        answer = self._aws.ask(action, **parameters)
        why = answer.why if isinstance(answer, NoAnswer) else None
        if why is Why.UNREADABLE:
            self._unreadable += 1
        elif why not in _FOR_GOOD:
            self._is_ses = True
        self._has_failed = why in _FOR_GOOD or (self._unreadable >= _UNREADABLE and not self._is_ses)
        return answer


def run(
    settings: SenderSettings,
    database_url: DatabaseUrl | None,
    mail_to: str | None,
    connect: Callable[[], "AwsQuestions"],
) -> Iterator[Finding]:
    """Yield each finding as soon as it is known. With `mail_to`, send each sample mail to that address."""
    try:
        aws = connect()
    except MailroomError as error:
        yield Finding("credentials", Status.TASK, str(error), "nothing of AWS was checked")
    else:
        yield from _aws(aws, settings, mail_to, actions(database_url))
    yield from judgement.base_url(settings.link_base_url)
    yield output_folder(settings.output_path)
    yield from database(database_url, settings.queue_name)
    yield from lone_mails(database_url)


def _aws(
    aws: "AwsQuestions", settings: SenderSettings, mail_to: str | None, known: list[MailAction]
) -> Iterator[Finding]:
    yield judgement.credentials(aws.ask("GetCallerIdentity"), aws.credentials_from)
    yield judgement.region(aws.region, aws.region_is_chosen, aws.own_endpoint)
    ses = _Ses(aws)
    yield judgement.sending(ses.ask("GetAccountSendingEnabled"))
    yield judgement.quota(ses.ask("GetSendQuota"), settings.max_rate)
    yield from judgement.source(settings.source, aws.own_endpoint)
    yield from _identity(ses, settings.source)
    yield from judgement.config_set(settings.config_set, _config_set(ses, settings.config_set))
    envelope = Envelope(settings.source, settings.config_set, settings.escape_html, settings.link_base_url)
    yield from _templates(ses, envelope, known)
    if mail_to is not None:
        for sample in samples(envelope, mail_to, known):
            yield judgement.mailed(sample, ses.ask("SendBulkTemplatedEmail", **sample.request))


def _identity(ses: _Ses, source: str) -> Iterator[Finding]:
    identities = identities_of(address_of(source))
    answer = ses.ask("GetIdentityVerificationAttributes", Identities=identities)
    verified, name = judgement.identity(source, answer)
    yield verified
    if name is not None:
        yield judgement.dkim(name, ses.ask("GetIdentityDkimAttributes", Identities=[name]))


def _config_set(ses: _Ses, name: str) -> judgement.AwsAnswer:
    attributes = ["eventDestinations", "reputationOptions"]
    return ses.ask("DescribeConfigurationSet", ConfigurationSetName=name, ConfigurationSetAttributeNames=attributes)


def _templates(ses: _Ses, envelope: Envelope, known: list[MailAction]) -> Iterator[Finding]:
    for sample in samples(envelope, actions=known):
        got = ses.ask("GetTemplate", TemplateName=sample.template)
        data = json.dumps(sample.data)
        rendered = ses.ask("TestRenderTemplate", TemplateName=sample.template, TemplateData=data)
        yield from judgement.template(judgement.TemplateAnswers(sample, got, rendered), envelope.escape_html)
