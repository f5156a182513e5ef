"""Pure: one line of text, its style, and its rank when there is no room for all lines."""

from enum import Enum, IntEnum
from typing import NamedTuple


class Kind(Enum):
    """The style of a line."""

    PLAIN = "plain"
    HEAD = "head"
    BAD = "bad"


class Rank(IntEnum):
    """The rank of a line. If there is no room for all lines, those with the highest rank are left out first."""

    NEEDED = 0
    PULSE = 1
    REASON = 2
    LEASE = 3


class StatusLine(NamedTuple):
    """One line of text."""

    text: str
    kind: Kind = Kind.PLAIN
    rank: Rank = Rank.NEEDED
