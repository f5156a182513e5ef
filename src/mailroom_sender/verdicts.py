"""Pure: an answer of SES to a verdict for each row. The tables are data; what they don't name is "later".

A call that fails as a whole, without saying why for good, makes everybody slower: an SES that is
down is not to be asked hundreds of times a second.

Sources: the SES API v1 reference (BulkEmailDestinationStatus, SendBulkTemplatedEmail, Common
Errors) and botocore's service model. What an answer means for a whole call goes by its `Code`,
but for throttling, where only the message tells a rate from a daily quota.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from mailroom_runtime.words import counted


class Outcome(Enum):
    """What is to become of a row."""

    SENT = "sent"
    LATER = "later"  # this row again after a while
    ONCE_MORE = "once more"  # the same, but only once
    NEVER = "never"  # SES will not take it
    HOLD = "hold"  # everybody waits: for the account, or for this template
    SPLIT = "split"  # perhaps another row of the call is at fault
    UNKNOWN = "unknown"  # SES was asked, and its answer never came


class Scope(Enum):
    """Who waits when calls are held."""

    ACCOUNT = "account"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of one row, and why."""

    outcome: Outcome
    reason: str = ""
    message_id: str | None = None
    scope: Scope = Scope.ACCOUNT
    slower: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """A call that SES answered with 200: one status for each destination, in order."""

    statuses: Sequence[dict[str, Any]] | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that SES answered with an error."""

    http_status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class NotAsked:
    """The request never reached SES."""

    reason: str
    operator: bool = False  # nothing changes until somebody acts


@dataclass(frozen=True, slots=True)
class Lost:
    """The request may have reached SES; no answer that can be read came back."""

    reason: str


Answer = Accepted | Refused | NotAsked | Lost

_LATER = (Outcome.LATER, Scope.ACCOUNT, False)
_SLOWER = (Outcome.LATER, Scope.ACCOUNT, True)
_ONCE_MORE = (Outcome.ONCE_MORE, Scope.ACCOUNT, False)
_NEVER = (Outcome.NEVER, Scope.ACCOUNT, False)
_SPLIT = (Outcome.SPLIT, Scope.ACCOUNT, False)
_HOLD = (Outcome.HOLD, Scope.ACCOUNT, False)
_HOLD_TEMPLATE = (Outcome.HOLD, Scope.TEMPLATE, False)

_DESTINATION: Final = {
    "TransientFailure": _LATER,
    "Failed": _ONCE_MORE,
    "AccountThrottled": _SLOWER,
    "InvalidParameterValue": _NEVER,
    "InvalidParameter": _NEVER,
    "MessageRejected": _NEVER,
    "AccountDailyQuotaExceeded": _HOLD,
    "MailFromDomainNotVerified": _HOLD,
    "ConfigurationSetDoesNotExist": _HOLD,
    "ConfigurationSetSendingPaused": _HOLD,
    "InvalidSendingPoolName": _HOLD,
    "AccountSuspended": _HOLD,
    "AccountSendingPaused": _HOLD,
    "TemplateDoesNotExist": _HOLD_TEMPLATE,
}

_CALL: Final = {
    "Throttling": _SLOWER,
    "ThrottlingException": _SLOWER,
    "InvalidParameterValue": _SPLIT,
    "MessageRejected": _SPLIT,
    "InvalidTemplateData": _SPLIT,
    "TemplateDoesNotExist": _HOLD_TEMPLATE,
    "ConfigurationSetDoesNotExist": _HOLD,
    "ConfigurationSetSendingPausedException": _HOLD,
    "MailFromDomainNotVerifiedException": _HOLD,
    "AccountSendingPausedException": _HOLD,
    "AccessDenied": _HOLD,
    "AccessDeniedException": _HOLD,
    "ExpiredToken": _HOLD,
    "ExpiredTokenException": _HOLD,
    "IncompleteSignature": _HOLD,
    "InvalidClientTokenId": _HOLD,
    "MissingAuthenticationToken": _HOLD,
    "NotAuthorized": _HOLD,
    "OptInRequired": _HOLD,
    "RequestExpired": _HOLD,
    "SignatureDoesNotMatch": _HOLD,
    "UnrecognizedClientException": _HOLD,
}
_DAILY_QUOTA: Final = "daily message quota"
SUCCESS: Final = "Success"
_REASON: Final = 300
"""Characters of SES's words that are kept."""


def judge(answer: Answer, count: int) -> list[Verdict]:
    """Return a verdict for each of the `count` rows of a call, in order."""
    match answer:
        case Accepted(statuses):
            if statuses is None or len(statuses) != count:
                found = "no statuses" if statuses is None else counted(len(statuses), "status", "statuses")
                reason = f"SES's answer has {found} for {counted(count, 'destination')}"
                return [Verdict(Outcome.UNKNOWN, reason)] * count
            return [_destination(status) for status in statuses]
        case Refused():
            return [_call(answer, count)] * count
        case NotAsked(reason, operator):
            return [Verdict(Outcome.HOLD if operator else Outcome.LATER, reason, slower=not operator)] * count
        case Lost(reason):
            return [Verdict(Outcome.UNKNOWN, reason, slower=True)] * count


def _destination(status: dict[str, Any]) -> Verdict:
    name = str(status.get("Status", "no status"))
    if name == SUCCESS:
        return Verdict(Outcome.SENT, message_id=status.get("MessageId"))
    outcome, scope, slower = _DESTINATION.get(name, _LATER)
    return Verdict(outcome, _words(name, str(status.get("Error", ""))), scope=scope, slower=slower)


def _call(answer: Refused, count: int) -> Verdict:
    reason = _words(answer.code or f"HTTP {answer.http_status}", answer.message)
    outcome, scope, slower = _CALL.get(answer.code, _SLOWER)
    if slower and _DAILY_QUOTA in answer.message.lower():
        outcome, slower = Outcome.HOLD, False
    if outcome is Outcome.SPLIT and count == 1:
        outcome = Outcome.NEVER
    return Verdict(outcome, reason, scope=scope, slower=slower)


def _words(code: str, message: str) -> str:
    return f"{code}: {message}"[:_REASON] if message else code
