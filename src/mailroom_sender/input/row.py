"""Pure: what is read, one row of a line, with its own bytes."""

from dataclasses import dataclass, field

from mailroom_sender.input.action import MailAction

Bytes = bytes | bytearray
"""What is only looked at: a long line stays in the buffer that it was read into."""


@dataclass(frozen=True, slots=True)
class Row:
    """One mail to be sent. Its repr shows nothing that lets somebody in."""

    action: MailAction
    email: str
    login: str
    secret: str = field(repr=False)  # 86 characters, as it goes into the mail
    code: str = field(repr=False)
    raw: bytes = field(repr=False)  # the five fields as they were read


@dataclass(frozen=True, slots=True)
class UnknownRow:
    """A row of an action that is not known, perhaps only not yet; nothing else of it is looked at."""

    number: str
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BadRow:
    """Bytes that are no row, or not one that can be trusted, and why."""

    raw: Bytes = field(repr=False)
    reason: str
