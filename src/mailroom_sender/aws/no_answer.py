"""Pure: why a call to AWS, or to what stands in its place, came to nothing."""

from dataclasses import dataclass
from enum import Enum


class Why(Enum):
    """Why there is no answer, as is said of who was asked, and after what."""

    DENIED = "{who} does not permit {action}"
    CREDENTIALS = "{who} does not take the credentials"
    UNREACHABLE = "{who} can't be reached"
    THROTTLED = "{who} throttles {action}"
    BROKEN = "{who} does not answer {action} as it should"
    UNREADABLE = "what {who} answers to {action} can't be read"
    REFUSED = "{who} refuses {action}"
    ALREADY_TOLD = "not asked: an earlier call failed for good"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A call that came to nothing: AWS's code for it, and its words or the SDK's."""

    why: Why
    code: str
    message: str = ""
    action: str = ""
    who: str = "AWS"
    """The endpoint that was asked, if it is not AWS's own."""

    @property
    def words(self) -> str:
        """Return code and message, for a person."""
        return f"{self.code}: {self.message}" if self.message else self.code

    @property
    def told(self) -> str:
        """Return who did not answer what, and why, for a person."""
        return f"{self.why.value.format(who=self.who, action=self.action)} ({self.words})"
