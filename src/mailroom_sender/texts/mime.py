"""Pure: makes a MIME message of a mail's three parts, and parses one."""

from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass(frozen=True, slots=True)
class Mail:
    """A rendered mail. A part that it does not have is None."""

    subject: str
    text: str | None
    html: str | None


def parse(message: str) -> Mail:
    """Return the parts of a MIME message. TestRenderTemplate returns such a message."""
    parsed = message_from_bytes(message.encode(), policy=policy.default)
    return Mail(str(parsed["Subject"] or ""), _part(parsed, "plain"), _part(parsed, "html"))


def _part(message: EmailMessage, kind: str) -> str | None:
    body = message.get_body((kind,))
    return None if body is None else str(body.get_content())


def compose(mail: Mail, source: str, to: str) -> bytes:
    """Return the mail as a message that a mail program can open."""
    message = EmailMessage(policy=policy.SMTP.clone(cte_type="7bit"))
    message["From"], message["To"], message["Subject"] = source, to, mail.subject
    if mail.text is not None:
        message.set_content(mail.text, cte="quoted-printable")
    if mail.html is not None:
        if mail.text is None:
            message.set_content(mail.html, subtype="html", cte="quoted-printable")
        else:
            message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    return message.as_bytes()
