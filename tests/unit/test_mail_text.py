"""A mail as debug mode shows it."""

import re
from pathlib import Path

import pytest

from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.output.mail_text import mail_text

TEMPLATES = Path(__file__).parents[2] / "templates"
BASE = "https://app.example.com"
SIGN_IN = MailAction("3", "sign_in", "signinv1", needs_code=False)


def row(action: MailAction, login: str = "ann", email: str = "ann@example.com") -> Row:
    return Row(action, email, login, "SECRET", "01234", b"")


@pytest.mark.parametrize(
    ("action", "base_url", "lines"),
    [
        (MailAction.ACTIVATION, BASE, ["activation  ann@example.com  login ann", f"  {BASE}/activate/SECRET"]),
        (
            MailAction.PASSWORD_RECOVERY,
            BASE,
            ["password_recovery  ann@example.com  code 01234  login ann", f"  {BASE}/recover/SECRET"],
        ),
        (MailAction.ACTIVATION, None, ["activation  ann@example.com  login ann", "  /activate/SECRET"]),
        (SIGN_IN, BASE, ["sign_in  ann@example.com  login ann", "  secret SECRET"]),
    ],
)
def test_mail_is_two_lines(action: MailAction, base_url: str | None, lines: list[str]) -> None:
    """They show the recipient and the link. If only a template knows the link, the secret is shown alone."""
    assert mail_text(row(action), base_url) == "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize(
    "hostile",
    ["\x1b[2J\x1b]0;title\x07", "a\nactivation  bob@example.com", "a\r", "\x9b2J", "\u202emoc", "\u2066x", "\u2028"],
)
def test_login_cannot_control_a_terminal(hostile: str) -> None:
    """Control characters, line breaks and changes of the writing direction are shown as escapes."""
    text = mail_text(row(MailAction.ACTIVATION, login=f"é{hostile}"), BASE)
    first, _, rest = text.partition("\n")
    assert rest == f"  {BASE}/activate/SECRET\n"
    assert first.startswith("activation  ann@example.com  login é")
    assert first.isprintable()


def test_address_is_the_one_that_ses_gets() -> None:
    """A domain is shown in Punycode, so letters that look like others are visible."""
    assert "  ann@xn--mnchen-3ya.example  " in mail_text(row(MailAction.ACTIVATION, email="ann@münchen.example"), BASE)


@pytest.mark.parametrize("action", [MailAction.ACTIVATION, MailAction.PASSWORD_RECOVERY])
def test_link_equals_that_of_the_shipped_template(action: MailAction) -> None:
    """If the path in a template changes, this one must change too."""
    link = mail_text(row(action), BASE).splitlines()[1].strip()
    for ending in ("txt", "html"):
        text = (TEMPLATES / f"{action.template}.{ending}").read_text()
        links = {re.sub(r"\{\{base_url\}\}", BASE, found) for found in re.findall(r"\{\{base_url\}\}/[\w/{}]+", text)}
        assert links == {link.replace("SECRET", "{{secret}}")}
