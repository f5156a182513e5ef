"""Pure: checks how a template shows a login. A stranger may have chosen the login."""

import re

from mailroom_sender.texts.comparison import SENT_BY
from mailroom_sender.texts.handlebars import names
from mailroom_sender.texts.template import Template

_ISOLATED = re.compile(r"<bdi\b|unicode-bidi|dir=[\"']?auto", re.IGNORECASE)


def markup_fault(template: Template) -> tuple[str, str] | None:
    """Return the fault that a login could add markup to the HTML, and what to do; None if it can't."""
    if "login_text" not in names(template.html):
        return None
    return "its HTML uses {{login_text}}, in which & < > are not escaped", "use {{login}} in the HTML"


def altered_login_fault(template: Template, escape_html: bool) -> tuple[str, str] | None:
    """Return where the mail would show a wrong login or a disordered text, and what to do; None if nowhere."""
    found, todo = [], []
    escaped = [part for part in ("subject", "text") if "login" in names(template.part(part))]
    if escape_html and escaped:
        found.append(f"its {' and '.join(escaped)} would show a login like a&b as a&amp;b")
        todo.append(f"use {{{{login_text}}}} there once {SENT_BY['login_text']}")
    if "login" in names(template.html) and not _ISOLATED.search(template.html):
        found.append("a login could reorder the text around it in its HTML")
        todo.append("write <bdi>{{login}}</bdi>")
    return ("; ".join(found), "; ".join(todo)) if found else None
