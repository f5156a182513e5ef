"""What the collector claims: a token with its account's address and login."""

from dataclasses import dataclass
from enum import Enum


class Action(Enum):
    """What a token is for. The value is its name in the database (`token_action`)."""

    ACTIVATION = "activation"
    PASSWORD_RECOVERY = "password_recovery"  # noqa: S105 - the name of an action


@dataclass(frozen=True, slots=True)
class Token:
    """One token as it was claimed, not yet known to be fit for signing or printing."""

    id: int
    action: Action
    email: str
    login: str
    secret: bytes
    code: str | None
