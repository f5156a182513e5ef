"""One call to SES: its permission, its limits, and what the SDK's hooks see of it."""

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
    """A request was not made: it is too late for it."""


class NotAllowed(Exception):
    """A request was not made: the permission was refused, or the signature was too old."""


@dataclass(frozen=True, slots=True)
class RawResponse:
    """An HTTP response as it came, before anything was made of it."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return status line, headers and body as they stand in an HTTP/1.1 message."""
        head = [f"HTTP/1.1 {self.status} {http.client.responses.get(self.status, '')}".rstrip()]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*head, "", ""]).encode("latin-1", "replace") + self.body


class SesCall:
    """From the signature to the answer. Times are monotonic seconds."""

    def __init__(
        self,
        rows: Sequence[Row],
        permission: CallPermission,
        http: HttpCall,
        timeout: float,
        signature_fresh: float,
        clock: Callable[[], float],
    ) -> None:
        """`timeout` is for all of the call, from the moment when the request goes out."""
        self._rows = rows
        self._permission = permission
        self._timeout = timeout
        self._clock = clock
        self._fresh_until = clock() + signature_fresh
        self.http = http
        self.sent_at: float | None = None
        """When the request was let out; None as long as it was not."""
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
        """Keep a response of which botocore has read the head and the body."""
        self.response = RawResponse(response["status_code"], dict(response["headers"]), bytes(response["body"]))

    def took(self) -> float | None:
        """Return the seconds since the request was let out."""
        return None if self.sent_at is None else self._clock() - self.sent_at
