"""Pure: what a token may be for, and what that means for its line and its signature.

The table mailroom_actions says it (migrations/4_actions.up.sql); the first two come with mailroom.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Final

LARGEST_NUMBER: Final = 32767
"""Numbers are smallint."""
_PREFIX = re.compile(r"/[A-Za-z0-9/._-]{1,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Action:
    """What a token is for. Two actions come with mailroom; others are made from their rows in mailroom_actions.

    Raises ValueError when a field has a value that no action can have.
    """

    ACTIVATION: ClassVar["Action"]
    PASSWORD_RECOVERY: ClassVar["Action"]

    name: str  # in the database, a value of token_action
    number: int  # the first field of a row
    prefix: str  # signed before the secret
    signs_code: bool  # the five digits are signed, behind the secret

    def __post_init__(self) -> None:
        """Check what goes on the wire and what is signed."""
        if not 1 <= self.number <= LARGEST_NUMBER:
            raise ValueError(f"the number of {self.name} is not from 1 to {LARGEST_NUMBER}")
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError(f"the prefix of {self.name} is not / and 1 to 62 of the characters A-Z a-z 0-9 / . _ -")


Action.ACTIVATION = Action("activation", 1, "/activate", signs_code=False)
Action.PASSWORD_RECOVERY = Action("password_recovery", 2, "/recover", signs_code=True)

SHIPPED: Final = (Action.ACTIVATION, Action.PASSWORD_RECOVERY)
"""The first rows of the table."""
