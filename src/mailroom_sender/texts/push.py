"""Uploads templates to SES: first compares all of them, then creates and updates them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mailroom_runtime.errors import OperatorNeeded, SettingError
from mailroom_sender.aws.no_answer import NoAnswer, Why
from mailroom_sender.texts.comparison import different_parts, fault_and_remedy, newly_needed, unknown_names
from mailroom_sender.texts.login_display import markup_fault
from mailroom_sender.texts.sample import Sample, data_for
from mailroom_sender.texts.template import Template, from_ses

if TYPE_CHECKING:
    from mailroom_sender.aws.questions import AwsQuestions


def in_ses(aws: "AwsQuestions", name: str) -> Template | None:
    """Return the template of this name in SES; None if SES has none. Raises OperatorNeeded."""
    answer = aws.ask("GetTemplate", TemplateName=name)
    if not isinstance(answer, NoAnswer):
        return from_ses(answer)
    if answer.code == "TemplateDoesNotExist":
        return None
    raise call_error("GetTemplate", answer)


def call_error(action: str, answer: NoAnswer) -> OperatorNeeded:
    """Return the error for a call without a useful answer."""
    if answer.why is Why.DENIED:
        return OperatorNeeded(f"{action} is not permitted", f"allow ses:{action}")
    hints = {
        Why.CREDENTIALS: "correct the AWS credentials",
        Why.UNREACHABLE: "check AWS_REGION, AWS_ENDPOINT_URL_SES and the network",
        Why.UNREADABLE: "check AWS_REGION, AWS_ENDPOINT_URL_SES and the network",
        Why.THROTTLED: "try again in a while",
        Why.BROKEN: "try again in a while",
    }
    return OperatorNeeded(answer.text, hints.get(answer.why, ""))


def refuse_unfit(templates: Iterable[Template], known: list[Sample]) -> None:
    """Raise SettingError for a template that must not be mailed.

    A template may use a value that is not sent. SES accepts such a mail, and drops it without an error. Or its HTML may
    show a login that is not escaped. Then any user could change the mail.
    """
    for template in templates:
        data = data_for(template.name, known)
        for name, parts in unknown_names(template, data).items():
            found, hint = fault_and_remedy(name, parts, data)
            raise SettingError(f"template {template.name}: {found}, so SES would drop every such mail", hint)
        if markup := markup_fault(template):
            found, hint = markup
            raise SettingError(f"template {template.name}: {found}", hint)


@dataclass(frozen=True, slots=True)
class TemplateChange:
    """What a push does with one template."""

    template: Template
    action: str | None  # CreateTemplate or UpdateTemplate; None if there is nothing to do
    different: Sequence[str] = ()
    conditions: Sequence[str] = ()
    """Conditions for every running sender. If a sender does not fulfil one, SES drops its mails without an error."""

    @property
    def text(self) -> str:
        """Return the change in words."""
        if self.action is None:
            return f"{self.template.name}: the same in SES"
        if self.action == "CreateTemplate":
            return f"{self.template.name}: create"
        return f"{self.template.name}: update {', '.join(self.different)}"


def plan(aws: "AwsQuestions", templates: Sequence[Template]) -> list[TemplateChange]:
    """Return the changes that upload these templates to SES. Raises OperatorNeeded."""
    return [_step(template, in_ses(aws, template.name)) for template in templates]


def _step(template: Template, theirs: Template | None) -> TemplateChange:
    if theirs is None:
        return TemplateChange(template, "CreateTemplate")
    different = different_parts(template, theirs)
    if not different:
        return TemplateChange(template, None)
    return TemplateChange(template, "UpdateTemplate", different, newly_needed(template, theirs))


def push(aws: "AwsQuestions", steps: Sequence[TemplateChange], say: Callable[[str], None]) -> None:
    """Make the changes, and call `say` after each. Raises OperatorNeeded when SES refuses one; earlier ones stay."""
    for step in steps:
        if step.action is None:
            say(step.text)
            continue
        answer = aws.ask(step.action, Template=step.template.to_ses())
        if isinstance(answer, NoAnswer):
            raise call_error(step.action, answer)
        say(f"{step.template.name}: {'created' if step.action == 'CreateTemplate' else 'updated'}")
