"""Pure: makes a verdict for each row from an answer of SES. The tables are data; faults.py reads the words.

A code that the tables do not name: for a destination it means "later". For a call, a 4xx may be one row's fault, so
the call is split, and nothing is slowed down; a 5xx is SES's fault, so all calls go on slower.

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
    LATER = "later"  # this row again after a while
    ONCE_MORE = "once more"  # the same, but only once
    NEVER = "never"  # SES will not take it
    REFUSED = "refused"  # alone, and nothing was named: never, if SES takes other rows (refusal_run)
    HOLD = "hold"  # all calls wait, or those of this template
    SPLIT = "split"  # another row of the call is at fault, or may be: this one again at once
    UNKNOWN = "unknown"  # SES was asked, and its answer never came


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to one row, and why."""

    outcome: Outcome
    reason: str = ""
    message_id: str | None = None
    hold: Hold | None = None  # of what kind, if the outcome is HOLD
    slower: bool = False
    apart: bool = False  # when split: to be called after the rows that SES did not name


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
    operator: bool = False  # only a person can change that


@dataclass(frozen=True, slots=True)
class Lost:
    """The request may have reached SES; no answer that can be read came back."""

    reason: str
    slower: bool = True  # SES may have too much to do


SesAnswer = Accepted | Refused | NotAsked | Lost

_SLOWER: Final = frozenset({
    "BandwidthLimitExceeded", "InternalFailure", "LimitExceeded", "RequestLimitExceeded", "RequestThrottled",
    "ServiceUnavailable", "SlowDown", "Throttled", "Throttling", "TooManyRequests",
})  # fmt: skip
"""SES or the account has too much to do: the rows go again, and all calls go slower."""

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
"""No mail goes, or none of this template, until something is changed. Codes of calls and of destinations."""

_DESTINATION: Final = {
    "AccountThrottled": (Outcome.LATER, True),
    "Failed": (Outcome.ONCE_MORE, False),
    "InvalidParameter": (Outcome.REFUSED, False),
    "InvalidParameterValue": (Outcome.REFUSED, False),
    "MessageRejected": (Outcome.REFUSED, False),
    "TransientFailure": (Outcome.LATER, False),
}
"""What a destination's status means if its words name nothing, and whether all calls go slower."""

_TOO_MANY: Final = 429  # HTTP
_TIMEOUT: Final = 408
_SERVER_ERROR: Final = 500
SUCCESS: Final = "Success"
_REASON: Final = 300
"""Characters of SES's words that are kept."""


@dataclass(frozen=True, slots=True)
class CallQuestion:
    """What a call held; `source_works`: SES took a mail of the same From a moment ago."""

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
    # SES took another mail of the same call, so the refused row is at fault itself.
    return [replace(one, outcome=Outcome.NEVER) if one.outcome is Outcome.REFUSED else one for one in verdicts]


def _taken(status: dict[str, Any], rows: Sequence[Row]) -> Verdict | None:
    """Return the verdict on a mail that SES took; None: it did not. Only a mail that it took has a message id."""
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
    """Return the verdict on one row by its destination's status."""
    if not name and not message:
        return Verdict(Outcome.UNKNOWN, "SES's answer has no status for a destination")
    reason = _words(name or "no status", message, asked.rows)
    outcome, slower = _DESTINATION.get(name, (Outcome.LATER, False))
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
    return Verdict(outcome, reason, slower=slower)


# A call that SES refused as a whole


def _call(answer: Refused, asked: CallQuestion) -> list[Verdict]:
    reason = _words(answer.code or f"HTTP {answer.http_status}", answer.message, asked.rows)
    code, status = answer.code.removesuffix("Exception"), answer.http_status
    if faults.speaks_of_daily_quota(answer.message, asked.rows):
        verdict = Verdict(Outcome.HOLD, reason, hold=holds.QUOTA)
    elif code in _HOLDS:
        verdict = Verdict(Outcome.HOLD, reason, hold=_HOLDS[code])
    elif code in _SLOWER or status == _TOO_MANY or status >= _SERVER_ERROR:
        verdict = Verdict(Outcome.LATER, reason, slower=True)
    elif status == _TIMEOUT:
        verdict = Verdict(Outcome.LATER, reason)
    else:
        return _refusal(code, answer.message, reason, asked)
    return [verdict] * len(asked.rows)


def _refusal(code: str, message: str, reason: str, asked: CallQuestion) -> list[Verdict]:
    """Return the verdicts on a call that SES refused for what it held."""
    count = len(asked.rows)
    hold, places = _fault(code, message, asked)
    again = Verdict(Outcome.SPLIT, reason)
    if hold and places and len(places) < count:
        # A recipient is, or is at, the From's identity: the other rows show which of the two SES means.
        return [replace(again, apart=place in places) for place in range(count)]
    if hold and not (places and asked.source_works):
        return [Verdict(Outcome.HOLD, reason, hold=hold)] * count
    if places:
        return [Verdict(Outcome.NEVER, reason) if place in places else again for place in range(count)]
    return [again if count > 1 else Verdict(Outcome.REFUSED, reason)] * count


def _fault(code: str, message: str, asked: CallQuestion) -> tuple[Hold | None, frozenset[int]]:
    """Return why calls wait, if SES's words say so, and the places of the rows that they name."""
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
    """Return the part of SES's words that is kept.

    They must be judged before: five digits that are a code may also be a part of an account's number.
    """
    return without_secrets(f"{code}: {message}" if message else code, rows)[:_REASON]
