"""Pure: takes secrets and codes out of SES's answers. SES may repeat what it was sent; logs and files may not."""

import re
from collections.abc import Sequence

from mailroom_sender.input.row import Row

_MESSAGE_ID = re.compile(r"[0-9A-Za-z-]{6,85}", re.ASCII)  # too short for a secret field


def masked(response: bytes, rows: Sequence[Row]) -> bytes:
    """Put stars in place of secrets and codes, one for each character, so that the HTTP message keeps its lengths."""
    for row in rows:
        for secret in filter(None, (row.secret, row.code)):
            response = response.replace(secret.encode(), b"*" * len(secret))
    return response


def without_secrets(text: str, rows: Sequence[Row]) -> str:
    """Return a text with dots in place of secrets and codes."""
    for row in rows:
        for secret in filter(None, (row.secret, row.code)):
            text = text.replace(secret, "...")
    return text


def message_id(value: str, rows: Sequence[Row]) -> str:
    """Return a message id, which may hold five digits that are no code, or whatever stands in its place, redacted."""
    return value if _MESSAGE_ID.fullmatch(value) else without_secrets(value, rows)
