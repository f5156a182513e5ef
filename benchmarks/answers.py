"""Pure: what the local SES answers to a call, and how many recipients its rate allows. Times are monotonic seconds."""

import itertools
import re
from dataclasses import dataclass
from typing import Final, Protocol

_NAMESPACE: Final = b"http://ses.amazonaws.com/doc/2010-12-01/"
_ACTION: Final = re.compile(rb"(?:^|&)Action=([A-Za-z]+)")
_DESTINATION: Final = b".Destination.ToAddresses.member.1="  # once for each of a bulk call
_NO_LIMIT: Final = 1_000_000.0
"""The MaxSendRate that is answered if no call is throttled."""
_THROTTLED: Final = (
    b'<ErrorResponse xmlns="%b"><Error><Type>Sender</Type><Code>Throttling</Code>'
    b"<Message>Maximum sending rate exceeded.</Message></Error><RequestId>r-1</RequestId></ErrorResponse>" % _NAMESPACE
)


@dataclass(frozen=True, slots=True)
class Limit:
    """What SES allows."""

    rate: float
    """Recipients a second."""
    seconds: float = 1.0
    """The seconds of this rate that may come at once."""


class Calls(Protocol):
    """What keeps the calls."""

    def accepted(self, mails: int, body: bytes, now: float) -> None:
        """Note a call that was accepted."""

    def throttled(self) -> None:
        """Note a call that was throttled."""


class Bucket:
    """A token bucket of recipients, as SES has one. It holds at least one recipient, and is full at first."""

    def __init__(self, limit: Limit) -> None:
        self._rate = limit.rate
        self._size = max(1.0, limit.rate * limit.seconds)
        self._held = self._size
        self._filled_at = 0.0

    def take(self, recipients: int, now: float) -> bool:
        """Take so many at once. If it holds fewer, take none and return False."""
        self._held = min(self._size, self._held + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._held < recipients:
            return False
        self._held -= recipients
        return True


def response(body: bytes, kind: bytes = b"text/xml", status: bytes = b"200 OK") -> bytes:
    """Return an HTTP response."""
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(body))
    return head + body


def _result(action: bytes, inner: bytes) -> bytes:
    return response(
        b'<%bResponse xmlns="%b"><%bResult>%b</%bResult><ResponseMetadata><RequestId>r-1</RequestId>'
        b"</ResponseMetadata></%bResponse>" % (action, _NAMESPACE, action, inner, action, action)
    )


class Answers:
    """The actions that are known. A message id is as long as one of SES."""

    def __init__(self, calls: Calls, limit: Limit | None) -> None:
        """Without a limit no call is throttled."""
        self._calls = calls
        self._bucket = Bucket(limit) if limit else None
        self._max_send_rate = limit.rate if limit else _NO_LIMIT
        self._messages = itertools.count(1)

    def answer(self, body: bytes, now: float) -> bytes:
        """Note a call and return its response. Raises ValueError if its action is not known."""
        match = _ACTION.search(body)
        action = match[1] if match else b""
        if action == b"GetSendQuota":
            return _result(action, b"<MaxSendRate>%.1f</MaxSendRate>" % self._max_send_rate)
        if action not in (b"SendBulkTemplatedEmail", b"SendTemplatedEmail", b"SendEmail"):
            raise ValueError(f"not an action that is known: {action!r}")
        bulk = action == b"SendBulkTemplatedEmail"
        mails = body.count(_DESTINATION) if bulk else 1
        if self._bucket and not self._bucket.take(mails, now):
            self._calls.throttled()
            return response(_THROTTLED, status=b"400 Bad Request")
        self._calls.accepted(mails, body, now)
        return _result(action, self._statuses(mails) if bulk else self._message())

    def _statuses(self, mails: int) -> bytes:
        members = [b"<member><Status>Success</Status>%b</member>" % self._message() for _ in range(mails)]
        return b"<Status>%b</Status>" % b"".join(members)

    def _message(self) -> bytes:
        return b"<MessageId>010201%054x</MessageId>" % next(self._messages)
