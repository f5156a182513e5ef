"""Pure: a mail as debug mode shows it to a person, in two lines."""

from typing import Final

from mailroom_runtime.words import visible
from mailroom_sender.address.email_address import for_ses
from mailroom_sender.input.row import Row

_PATHS: Final = {"activation": "/activate/", "password_recovery": "/recover/"}
"""The path that the shipped templates put between the base URL and the secret. For other actions only SES knows it."""


def mail_text(row: Row, base_url: str | None) -> str:
    """Return the mail's head, and below it, indented, its link, or the secret where the link is not known.

    Without `base_url` the link is its path alone. `row` has an address that addresses.for_ses() takes.
    Characters that a terminal would obey are shown escaped.
    """
    head = [row.action.name, for_ses(row.email), f"login {row.login}"]
    if row.action.needs_code:
        head.insert(2, f"code {row.code}")
    path = _PATHS.get(row.action.name)
    link = f"secret {row.secret}" if path is None else f"{base_url or ''}{path}{row.secret}"
    return f"{visible('  '.join(head))}\n  {visible(link)}\n"
