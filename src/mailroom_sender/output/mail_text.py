"""Pure: the two lines of text that debug mode prints for a mail."""

from typing import Final

from mailroom_runtime.words import visible
from mailroom_sender.address.email_address import for_ses
from mailroom_sender.input.row import Row

_PATHS: Final = {"activation": "/activate/", "password_recovery": "/recover/"}
"""The path between the base URL and the secret, in the shipped templates. Other templates are only in SES."""


def mail_text(row: Row, base_url: str | None) -> str:
    """Return a line with the mail's head, and an indented line with its link, or its secret if the link is not known.

    Without `base_url` the link is only a path. The address of `row` must be one that for_ses() accepts.
    Control characters are escaped, because a terminal would obey them.
    """
    head = [row.action.name, for_ses(row.email), f"login {row.login}"]
    if row.action.needs_code:
        head.insert(2, f"code {row.code}")
    path = _PATHS.get(row.action.name)
    link = f"secret {row.secret}" if path is None else f"{base_url or ''}{path}{row.secret}"
    return f"{visible('  '.join(head))}\n  {visible(link)}\n"
