"""What is read: one row of a line, with its own bytes."""

from dataclasses import dataclass, field
from enum import Enum


class Action(Enum):
    """What a mail is for. The value is the row's first field."""

    ACTIVATION = "1"
    PASSWORD_RECOVERY = "2"  # noqa: S105 - a field of the wire format


@dataclass(frozen=True, slots=True)
class Row:
    """One mail to be sent. Its repr shows nothing that lets somebody in."""

    action: Action
    email: str
    login: str
    secret: str = field(repr=False)  # 86 characters, as it goes into the mail
    code: str = field(repr=False)
    raw: bytes = field(repr=False)  # the five fields as they were read


@dataclass(frozen=True, slots=True)
class BadRow:
    """Bytes that are no row, or not one that can be trusted, and why."""

    raw: bytes = field(repr=False)
    reason: str
