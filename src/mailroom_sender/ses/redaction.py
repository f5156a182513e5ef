"""Pure: takes out of SES's answers what lets somebody in. SES may repeat what it was sent; logs and files may not."""

import re
from collections.abc import Sequence

from mailroom_sender.input.row import Row

_MESSAGE_ID = re.compile(r"[0-9A-Za-z-]{6,85}", re.ASCII)  # too short for a secret field


def masked(response: bytes, rows: Sequence[Row]) -> bytes:
    """Put stars over what lets somebody in, as many as it had characters: it stays the same HTTP message."""
    for row in rows:
        for secret in filter(None, (row.secret, row.code)):
            response = response.replace(secret.encode(), b"*" * len(secret))
    return response


def without_secrets(text: str, rows: Sequence[Row]) -> str:
    """Return a text with dots in place of what lets somebody in."""
    for row in rows:
        for secret in filter(None, (row.secret, row.code)):
            text = text.replace(secret, "...")
    return text


def message_id(value: str, rows: Sequence[Row]) -> str:
    """Return a message id, which may hold five digits that are no code, or whatever stands in its place, redacted."""
    return value if _MESSAGE_ID.fullmatch(value) else without_secrets(value, rows)
