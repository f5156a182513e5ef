"""Pure: makes a verdict for each row from an answer of SES. The tables are data. faults.py reads the messages.

A code that the tables do not name means "later" for a destination. For a call, the HTTP status decides. A 4xx may be
the fault of one row, so the call is split, and calls do not slow down. A 5xx is SES's fault, so all calls slow down.

Sources: the SES API v1 reference (BulkEmailDestinationStatus, SendBulkTemplatedEmail, Common Errors), and botocore's
service model and its table of throttling codes. A code counts without `Exception` at its end, as SES itself does not
keep to one spelling.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from mailroom_runtime.words import counted
from mailroom_sender.input.row import Row
from mailroom_sender.ses import faults, holds
from mailroom_sender.ses.holds import Hold
from mailroom_sender.ses.redaction import message_id, without_secrets
from mailroom_sender.ses.request import Envelope


class Outcome(Enum):
    """What happens to a row after a call."""

    SENT = "sent"
    LATER = "later"  # try this row again after a while
    ONCE_MORE = "once more"  # like LATER, but only once
    NEVER = "never"  # SES will never accept this row
    REFUSED = "refused"  # alone, and nothing was named: NEVER if SES accepts other rows (refusal_run)
    HOLD = "hold"  # all calls wait, or those of this template
    SPLIT = "split"  # another row of the call is or may be at fault: call this one again at once
    UNKNOWN = "unknown"  # SES was asked, and its answer never came


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to one row, and why."""

    outcome: Outcome
    reason: str = ""
    message_id: str | None = None
    hold: Hold | None = None  # the kind of hold, if the outcome is HOLD
    slower: bool = False  # all calls slow down
    throttled: bool = False  # because the rate was too high, and for no other reason
    apart: bool = False  # when split: call it after the rows that SES did not name


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
    operator: bool = False  # only a person can fix that


@dataclass(frozen=True, slots=True)
class Lost:
    """The request may have reached SES, but no readable answer came back."""

    reason: str
    slower: bool = True  # SES may be overloaded


SesAnswer = Accepted | Refused | NotAsked | Lost

_THROTTLED: Final = frozenset({
    "BandwidthLimitExceeded", "LimitExceeded", "RequestLimitExceeded", "RequestThrottled", "SlowDown", "Throttled",
    "Throttling", "TooManyRequests",
})  # fmt: skip
"""The account is over a limit: the rows are tried again, and all calls slow down."""
_OVERLOADED: Final = frozenset({"InternalFailure", "ServiceUnavailable"})
"""SES itself is in trouble: the same, and calls slow down more."""

_HOLDS: Final = {
    "AccountDailyQuotaExceeded": holds.QUOTA,
    "AccountSendingPaused": holds.ACCOUNT,
    "AccountSuspended": holds.ACCOUNT,
    "ConfigurationSetDoesNotExist": holds.CONFIG_SET,
    "ConfigurationSetSendingPaused": holds.CONFIG_SET_PAUSED,
    "ExpiredToken": holds.CREDENTIALS,
    "FromEmailAddressNotVerified": holds.SOURCE,
    "IncompleteSignature": holds.CREDENTIALS,
    "InvalidAccessKeyId": holds.CREDENTIALS,
    "InvalidClientTokenId": holds.CREDENTIALS,
    "InvalidSendingPoolName": holds.SENDING_POOL,
    "InvalidSignature": holds.CREDENTIALS,
    "InvalidTemplate": holds.TEMPLATE,
    "MailFromDomainNotVerified": holds.SOURCE,
    "MissingAuthenticationToken": holds.CREDENTIALS,
    "OptInRequired": holds.CREDENTIALS,
    "ProductionAccessNotGranted": holds.ACCOUNT,
    "RequestExpired": holds.CREDENTIALS,
    "SendingPaused": holds.ACCOUNT,
    "SignatureDoesNotMatch": holds.CREDENTIALS,
    "TemplateDoesNotExist": holds.TEMPLATE,
    "UnrecognizedClient": holds.CREDENTIALS,
}
"""SES sends no mail, or none of this template, until somebody fixes something. Codes of calls and destinations."""

_DESTINATION: Final = {
    "AccountThrottled": (Outcome.LATER, True),
    "Failed": (Outcome.ONCE_MORE, False),
    "InvalidParameter": (Outcome.REFUSED, False),
    "InvalidParameterValue": (Outcome.REFUSED, False),
    "MessageRejected": (Outcome.REFUSED, False),
    "TransientFailure": (Outcome.LATER, False),
}
"""The outcome for a destination's status whose message names nothing, and whether the rate was too high."""

_TOO_MANY: Final = 429  # HTTP
_TIMEOUT: Final = 408
_SERVER_ERROR: Final = 500
SUCCESS: Final = "Success"
_REASON: Final = 300
"""The number of characters of SES's message that are kept."""


@dataclass(frozen=True, slots=True)
class CallQuestion:
    """The content of a call. `source_works`: SES accepted a mail of the same From a moment ago."""

    rows: Sequence[Row]
    envelope: Envelope
    source_works: bool = False


def judge(answer: SesAnswer, asked: CallQuestion) -> list[Verdict]:
    """Return a verdict for each row of a call, in order."""
    count = len(asked.rows)
    match answer:
        case Accepted(statuses):
            if statuses is None or len(statuses) != count:
                found = "no statuses" if statuses is None else counted(len(statuses), "status", "statuses")
                reason = f"SES's answer has {found} for {counted(count, 'destination')}"
                return [Verdict(Outcome.UNKNOWN, reason)] * count
            return _destinations(statuses, asked)
        case Refused():
            return _call(answer, asked)
        case NotAsked(reason, operator):
            if operator:
                return [Verdict(Outcome.HOLD, reason, hold=holds.CREDENTIALS)] * count
            return [Verdict(Outcome.LATER, reason, slower=True)] * count
        case Lost(reason, slower):
            return [Verdict(Outcome.UNKNOWN, reason, slower=slower)] * count


# A call that SES answered, destination by destination


def _destinations(statuses: Sequence[dict[str, Any]], asked: CallQuestion) -> list[Verdict]:
    taken = [_taken(status, asked.rows) for status in statuses]
    if all(taken):
        return [verdict for verdict in taken if verdict]
    works = asked.source_works or any(taken)
    verdicts = [
        verdict or _not_taken(status, CallQuestion([row], asked.envelope, works))
        for verdict, status, row in zip(taken, statuses, asked.rows, strict=True)
    ]
    if not any(taken):
        return verdicts
    # SES accepted another mail of the same call, so the refused row itself is at fault.
    return [replace(one, outcome=Outcome.NEVER) if one.outcome is Outcome.REFUSED else one for one in verdicts]


def _taken(status: dict[str, Any], rows: Sequence[Row]) -> Verdict | None:
    """Return the verdict on an accepted mail, or None if SES refused it. Only an accepted mail has a message id."""
    name, given = str(status.get("Status") or ""), str(status.get("MessageId") or "")
    if name == SUCCESS:
        return Verdict(Outcome.SENT, message_id=message_id(given, rows) or None)
    if given and name not in _DESTINATION and name not in _HOLDS:
        reason = f"the status {_words(name, '', rows)}" if name else ""
        return Verdict(Outcome.SENT, reason, message_id(given, rows))
    return None


def _not_taken(status: dict[str, Any], asked: CallQuestion) -> Verdict:
    verdict = _status(str(status.get("Status") or ""), str(status.get("Error") or ""), asked)
    if status.get("MessageId") and verdict.outcome is not Outcome.NEVER:
        return replace(verdict, outcome=Outcome.UNKNOWN, reason=f"{verdict.reason}, but it has a message id")
    return verdict


def _status(name: str, message: str, asked: CallQuestion) -> Verdict:
    """Return the verdict on one row from its destination's status."""
    if not name and not message:
        return Verdict(Outcome.UNKNOWN, "SES's answer has no status for a destination")
    reason = _words(name or "no status", message, asked.rows)
    outcome, throttled = _DESTINATION.get(name, (Outcome.LATER, False))
    if faults.speaks_of_daily_quota(message, asked.rows):
        return Verdict(Outcome.HOLD, reason, hold=holds.QUOTA)
    if name in _HOLDS:
        return Verdict(Outcome.HOLD, reason, hold=_HOLDS[name])
    if outcome is Outcome.REFUSED or name not in _DESTINATION:
        hold, places = _fault(name, message, asked)
        if hold and not (places and asked.source_works):
            return Verdict(Outcome.HOLD, reason, hold=hold)
        if places:
            return Verdict(Outcome.NEVER, reason)
    return Verdict(outcome, reason, slower=throttled, throttled=throttled)


# A call that SES refused as a whole


def _call(answer: Refused, asked: CallQuestion) -> list[Verdict]:
    reason = _words(answer.code or f"HTTP {answer.http_status}", answer.message, asked.rows)
    code, status = answer.code.removesuffix("Exception"), answer.http_status
    if faults.speaks_of_daily_quota(answer.message, asked.rows):
        verdict = Verdict(Outcome.HOLD, reason, hold=holds.QUOTA)
    elif code in _HOLDS:
        verdict = Verdict(Outcome.HOLD, reason, hold=_HOLDS[code])
    elif code in _THROTTLED or status == _TOO_MANY:
        verdict = Verdict(Outcome.LATER, reason, slower=True, throttled=True)
    elif code in _OVERLOADED or status >= _SERVER_ERROR:
        verdict = Verdict(Outcome.LATER, reason, slower=True)
    elif status == _TIMEOUT:
        verdict = Verdict(Outcome.LATER, reason)
    else:
        return _refusal(code, answer.message, reason, asked)
    return [verdict] * len(asked.rows)


def _refusal(code: str, message: str, reason: str, asked: CallQuestion) -> list[Verdict]:
    """Return the verdicts on a call that SES refused because of its content."""
    count = len(asked.rows)
    hold, places = _fault(code, message, asked)
    again = Verdict(Outcome.SPLIT, reason)
    if hold and places and len(places) < count:
        # A recipient has the identity of the From. The other rows show which of the two SES means.
        return [replace(again, apart=place in places) for place in range(count)]
    if hold and not (places and asked.source_works):
        return [Verdict(Outcome.HOLD, reason, hold=hold)] * count
    if places:
        return [Verdict(Outcome.NEVER, reason) if place in places else again for place in range(count)]
    return [again if count > 1 else Verdict(Outcome.REFUSED, reason)] * count


def _fault(code: str, message: str, asked: CallQuestion) -> tuple[Hold | None, frozenset[int]]:
    """Return the hold that SES's message means, if any, and the places of the rows that it names."""
    named = faults.named(code, message, asked.rows, asked.envelope)
    is_denial = faults.is_denial(code)
    if named.source:
        return holds.PERMISSION if is_denial else holds.SOURCE, named.rows
    if named.config_set:
        return holds.PERMISSION, named.rows
    if named.template:
        return holds.TEMPLATE_PERMISSION, named.rows
    if named.rows:
        return None, named.rows
    if is_denial:
        return holds.PERMISSION, named.rows
    return holds.ACCOUNT if faults.speaks_of_account(message, asked.rows) else None, named.rows


def _words(code: str, message: str, rows: Sequence[Row]) -> str:
    """Return the part of SES's message that is kept.

    Judge the message before: this may also redact a part of an account number that is equal to a code.
    """
    return without_secrets(f"{code}: {message}" if message else code, rows)[:_REASON]
