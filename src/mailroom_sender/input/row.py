"""Pure: a row of a line, with its own bytes."""

from dataclasses import dataclass, field

from mailroom_sender.input.action import MailAction

Bytes = bytes | bytearray
"""Bytes that are only read: a long line stays in the buffer that it was read into."""


@dataclass(frozen=True, slots=True)
class Row:
    """One mail to be sent. Its repr shows no secret and no code."""

    action: MailAction
    email: str
    login: str
    secret: str = field(repr=False)  # 86 characters, as it goes into the mail
    code: str = field(repr=False)
    raw: bytes = field(repr=False)  # the five fields as they were read


@dataclass(frozen=True, slots=True)
class UnknownRow:
    """A row of an action that is not known, or not yet. Its other fields are not checked."""

    number: str
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BadRow:
    """Bytes that are no row, or a bad one, and why."""

    raw: Bytes = field(repr=False)
    reason: str
