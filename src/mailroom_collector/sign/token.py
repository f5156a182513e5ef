"""Pure: what the collector claims, which is a token with its account's address and login."""

from typing import NamedTuple


class Token(NamedTuple):
    """One token as it was claimed, not yet known to be fit for signing or printing.

    A named tuple, because a frozen dataclass takes three times as long to make, for each row.
    """

    id: int
    action_number: int
    email: str
    login: str
    secret: bytes
    code: str | None
