"""Pure: the reasons why a call to AWS, or to an endpoint in its place, has no useful answer."""

from dataclasses import dataclass
from enum import Enum


class Why(Enum):
    """The reason why there is no answer. The text names the endpoint (`who`) and the action."""

    DENIED = "{who} does not permit {action}"
    CREDENTIALS = "{who} does not accept the credentials"
    UNREACHABLE = "{who} can't be reached"
    THROTTLED = "{who} throttles {action}"
    BROKEN = "{who} does not answer {action} as it should"
    UNREADABLE = "what {who} answers to {action} can't be read"
    REFUSED = "{who} refuses {action}"
    ALREADY_FAILED = "not asked, because an earlier call failed"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A call without a useful answer: the code of AWS or the SDK, and its message."""

    why: Why
    code: str
    message: str = ""
    action: str = ""
    who: str = "AWS"
    """The endpoint that was asked: AWS, or the URL of another endpoint."""

    @property
    def words(self) -> str:
        """Return code and message, for a person."""
        return f"{self.code}: {self.message}" if self.message else self.code

    @property
    def text(self) -> str:
        """Return which endpoint did not answer what, and why, for a person."""
        return f"{self.why.value.format(who=self.who, action=self.action)} ({self.words})"
