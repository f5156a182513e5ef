"""Pure: removes secrets and codes from SES's answers. SES may repeat them, but logs and files must not show them."""

import re
from collections.abc import Sequence

from mailroom_sender.input.row import Row

_MESSAGE_ID = re.compile(r"[0-9A-Za-z-]{6,85}", re.ASCII)  # too short for a secret field


def masked(response: bytes, rows: Sequence[Row]) -> bytes:
    """Replace each character of secrets and codes with a star, so that the HTTP message keeps its length."""
    for row in rows:
        for secret in filter(None, (row.secret, row.code)):
            response = response.replace(secret.encode(), b"*" * len(secret))
    return response


def without_secrets(text: str, rows: Sequence[Row]) -> str:
    """Return a text in which secrets and codes are replaced with dots."""
    for row in rows:
        for secret in filter(None, (row.secret, row.code)):
            text = text.replace(secret, "...")
    return text


def message_id(value: str, rows: Sequence[Row]) -> str:
    """Return a message id unchanged: five digits in it are not a code. Redact any other text."""
    return value if _MESSAGE_ID.fullmatch(value) else without_secrets(value, rows)
