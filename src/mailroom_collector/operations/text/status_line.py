"""Pure: one line of text, how it looks, and whether it may be left out."""

from enum import Enum, IntEnum
from typing import NamedTuple


class Kind(Enum):
    """How a line looks."""

    PLAIN = "plain"
    HEAD = "head"
    BAD = "bad"


class Rank(IntEnum):
    """Which lines are left out first where there is no room for all: those of the highest rank."""

    NEEDED = 0
    PULSE = 1
    REASON = 2
    LEASE = 3


class StatusLine(NamedTuple):
    """One line of text."""

    text: str
    kind: Kind = Kind.PLAIN
    rank: Rank = Rank.NEEDED
