"""Pure: a row of a line, with its bytes."""

from dataclasses import dataclass, field

from mailroom_sender.input.action import MailAction

Bytes = bytes | bytearray
"""Bytes that nobody changes. A long line stays in the buffer that it was read into, and is not copied."""


@dataclass(frozen=True, slots=True)
class Row:
    """One mail to send. Its repr shows no secret and no code."""

    action: MailAction
    email: str
    login: str
    secret: str = field(repr=False)  # the 86 characters that the mail shows
    code: str = field(repr=False)
    raw: bytes = field(repr=False)  # the five fields, as they were read


@dataclass(frozen=True, slots=True)
class UnknownRow:
    """A row whose action is not known, or not known yet. Its other fields are not checked."""

    number: str
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BadRow:
    """Bytes that are not a valid row, and the reason."""

    raw: Bytes = field(repr=False)
    reason: str
