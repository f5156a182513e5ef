"""One call to SES: its permission, its limits, and the hooks that the SDK calls."""

import http.client
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mailroom_sender.aws.http_connection import HttpCall
from mailroom_sender.input.row import Row
from mailroom_sender.ses.permission import CallPermission

SIGNATURE_FRESH: Final = 30.0
"""Seconds that a signed request may wait for its permission: SES refuses it after 5 minutes (Signature Version 4)."""


class TooLate(Exception):
    """A request was not sent, because it was too late."""


class NotAllowed(Exception):
    """A request was not sent: the permission was refused, or the signature was too old."""


@dataclass(frozen=True, slots=True)
class RawResponse:
    """An HTTP response, before it was parsed."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return the bytes of an HTTP/1.1 message: status line, headers and body."""
        head = [f"HTTP/1.1 {self.status} {http.client.responses.get(self.status, '')}".rstrip()]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*head, "", ""]).encode("latin-1", "replace") + self.body


class SesCall:
    """One call, from the signature to the answer. Times are monotonic seconds."""

    def __init__(
        self,
        rows: Sequence[Row],
        permission: CallPermission,
        http: HttpCall,
        timeout: float,
        signature_fresh: float,
        clock: Callable[[], float],
    ) -> None:
        """`timeout` is for the whole call, from the moment when the request is sent."""
        self._rows = rows
        self._permission = permission
        self._timeout = timeout
        self._clock = clock
        self._fresh_until = clock() + signature_fresh
        self.http = http
        self.sent_at: float | None = None
        """When the request was sent; None until then."""
        self.response: RawResponse | None = None

    def check(self) -> None:
        """Check the permission and the time just before the request is sent.

        Signing takes a while, and a process may be stopped at any moment. Raises NotAllowed or TooLate.
        """
        try:
            until = self._permission.allowed_until(self._rows)
        except Exception:
            raise NotAllowed from None  # the delivery waits for the permission too, and gets the error there
        now = self._clock()
        if until is None or now >= self._fresh_until:
            raise NotAllowed
        if now > until:
            raise TooLate
        self.sent_at = now
        self.http.deadline = now + self._timeout

    def keep(self, response: dict[str, Any]) -> None:
        """Keep a response after botocore has read its head and body."""
        self.response = RawResponse(response["status_code"], dict(response["headers"]), bytes(response["body"]))

    def took(self) -> float | None:
        """Return the seconds since the request was sent; None if it was not."""
        return None if self.sent_at is None else self._clock() - self.sent_at
