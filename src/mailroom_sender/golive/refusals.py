"""Pure: why a call to AWS came to nothing."""

from dataclasses import dataclass
from enum import Enum


class Why(Enum):
    """Why there is no answer."""

    DENIED = "the permission is missing"
    CREDENTIALS = "AWS does not take the credentials"
    UNREACHABLE = "AWS can't be reached"
    THROTTLED = "AWS throttles"
    BROKEN = "AWS does not answer as it should"
    UNREADABLE = "what answers is not AWS"
    REFUSED = "AWS refuses"
    ALREADY_TOLD = "not asked: an earlier call failed for good"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A call that came to nothing: AWS's code for it, and its words or the SDK's."""

    why: Why
    code: str
    message: str = ""

    @property
    def words(self) -> str:
        """Return code and message, for a person."""
        return f"{self.code}: {self.message}" if self.message else self.code
