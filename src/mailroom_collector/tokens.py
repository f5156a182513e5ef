"""What the collector claims: a token with its account's address and login."""

from enum import StrEnum
from typing import NamedTuple


class Action(StrEnum):  # a str, as it is hashed for each row
    """What a token is for. The value is its name in the database (`token_action`)."""

    ACTIVATION = "activation"
    PASSWORD_RECOVERY = "password_recovery"  # noqa: S105 - the name of an action


class Token(NamedTuple):
    """One token as it was claimed, not yet known to be fit for signing or printing.

    A named tuple, as a frozen dataclass takes three times as long to make, for each row.
    """

    id: int
    action: Action
    email: str
    login: str
    secret: bytes
    code: str | None
