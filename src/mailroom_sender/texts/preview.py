"""Writes mails with sample data to files: NAME.html for a browser, NAME.txt, NAME.eml for a mail program."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mailroom_runtime.errors import SettingError
from mailroom_sender.aws.no_answer import NoAnswer
from mailroom_sender.texts.handlebars import Unrenderable, render
from mailroom_sender.texts.mime import Mail, compose, parse
from mailroom_sender.texts.push import call_error
from mailroom_sender.texts.sample import EMAIL
from mailroom_sender.texts.template import ENDINGS, Template

if TYPE_CHECKING:
    from mailroom_sender.aws.questions import AwsQuestions


def rendered_here(template: Template, data: Mapping[str, str]) -> Mail:
    """Render the mail without SES. Raises SettingError; it names a tag that only SES can render."""
    parts: dict[str, str] = {}
    for part, ending in ENDINGS.items():
        try:
            parts[part] = render(template.part(part), data)
        except Unrenderable as error:
            hint = "or let SES render the template that it has: --ses"
            raise SettingError(f"{template.name}{ending}, {error}", hint) from None
    return Mail(parts["subject"], parts["text"] or None, parts["html"] or None)


def rendered_by_ses(aws: "AwsQuestions", name: str, data: Mapping[str, str]) -> Mail:
    """Let SES render the template that it has, and return the mail. Raises OperatorNeeded."""
    answer = aws.ask("TestRenderTemplate", TemplateName=name, TemplateData=json.dumps(data))
    if isinstance(answer, NoAnswer):
        raise call_error("TestRenderTemplate", answer)
    return parse(str(answer.get("RenderedTemplate", "")))


def write(folder: Path, name: str, mail: Mail, source: str, say: Callable[[str], None]) -> None:
    """Write the files of one mail, and call `say` with each path. Raises SettingError."""
    files = {".txt": (mail.text or "").encode(), ".html": (mail.html or "").encode()}
    files[".eml"] = compose(mail, source, EMAIL)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for ending, data in files.items():
            if data:
                path = folder / f"{name}{ending}"
                path.write_bytes(data)
                say(str(path))
    except OSError as error:
        raise SettingError(f"{folder} can't be written: {error.strerror}", "give another one with --out") from None
