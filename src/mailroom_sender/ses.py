"""The only user of boto3: parameters to an answer."""

import http.client
import logging
import os
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3
import botocore
from botocore import exceptions
from botocore.config import Config
from botocore.parsers import ResponseParserError

from mailroom_runtime.errors import OperatorNeeded
from mailroom_sender.verdicts import Accepted, Answer, Lost, NotAsked, Refused

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from types_boto3_ses import SESClient

FALLBACK_REGION: Final = "us-east-1"
_CREATED: Final = "request-created.ses.SendBulkTemplatedEmail"
_SENDING: Final = "before-send.ses.SendBulkTemplatedEmail"
_ANSWERED: Final = "before-parse.ses.SendBulkTemplatedEmail"
_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400
_QUOTED: Final = {number: urllib.parse.quote_plus(chr(number)) for number in range(128)}
_USER_AGENT: Final = f"mailroom boto3/{boto3.__version__} botocore/{botocore.__version__}"
"""Botocore would put its own together twice a call, a seventh of what a call for one row costs."""
_NEVER_ASKED = (
    exceptions.EndpointConnectionError,
    exceptions.ConnectTimeoutError,
    exceptions.ProxyConnectionError,
    exceptions.SSLError,
)
_OPERATOR = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.TokenRetrievalError,
    exceptions.UnauthorizedSSOTokenError,
    exceptions.SSOTokenLoadError,
)


# At DEBUG botocore logs whole requests; should whoever imports us turn that on, not these.
logging.getLogger("botocore").setLevel(logging.INFO)


def region_of(session: boto3.Session) -> str:
    """Return the region that calls go to: AWS_REGION, which boto3 itself does not read, then the SDK's own."""
    return os.environ.get("AWS_REGION") or session.region_name or FALLBACK_REGION


class _TooLate(Exception):
    """A request was not made: the moment until which it might have been is over."""


class _NotAllowed(Exception):
    """A request was not made: at the last moment it turned out that it may not be."""


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


Sent = tuple[Answer, RawResponse | None]
"""What came of a call, and the response if it is an error."""


class Ses:
    """A client for any number of threads. Each call reaches SES once at most."""

    def __init__(self, *, connections: int, connect_timeout: float, read_timeout: float) -> None:
        """Make the client; timeouts in seconds. Raises OperatorNeeded when there are no credentials."""
        try:
            session = boto3.Session()
            if session.get_credentials() is None:
                raise OperatorNeeded(
                    "no AWS credentials are found",
                    "give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role (debug mode needs none)",
                )
            self._client: SESClient = session.client(
                "ses",
                region_name=region_of(session),
                config=Config(
                    # The SDK's own retries post a call again whose answer was lost, unseen by us.
                    retries={"mode": "standard", "total_max_attempts": 1},
                    connect_timeout=connect_timeout,
                    read_timeout=read_timeout,
                    max_pool_connections=connections,
                    tcp_keepalive=True,
                    user_agent=_USER_AGENT,
                    parameter_validation=False,  # request.build() makes nothing but strings, checked before
                ),
            )
        except (exceptions.BotoCoreError, ValueError) as error:
            raise OperatorNeeded(f"the AWS SDK can't be set up: {error}", "correct the AWS settings it names") from None
        self._seen = threading.local()
        self._client.meta.events.register_first(_CREATED, _encode_once)
        self._client.meta.events.register(_SENDING, self._check_time)
        self._client.meta.events.register(_ANSWERED, self._keep)

    def _check_time(self, **_: object) -> None:
        """Ask and look at the clock at the last moment: signing takes a while, and a process may be stopped."""
        try:
            call_by = self._seen.call_by()
        except Exception:
            raise _NotAllowed from None  # who asked hears of it where it asks again
        if call_by is None:
            raise _NotAllowed
        if time.monotonic() > call_by:
            raise _TooLate

    def _keep(self, response_dict: dict[str, Any], **_: object) -> None:
        self._seen.response = RawResponse(
            response_dict["status_code"], dict(response_dict["headers"]), bytes(response_dict["body"])
        )

    def max_send_rate(self) -> float | str:
        """Return the recipients a second that SES takes from this account, or why that is not known.

        GetSendQuota, whose MaxSendRate this is, needs a permission of its own.
        """
        try:
            rate = self._client.get_send_quota().get("MaxSendRate", 0.0)
        except exceptions.ClientError as error:
            return _refused(error).code or "SES refused to tell"
        except Exception as error:
            return type(error).__name__
        return rate if rate > 0 else "SES named none"

    def send(self, parameters: dict[str, Any], call_by: Callable[[], float | None]) -> Sent | None:
        """Make one call, not after the moment (monotonic seconds) that `call_by` returns. Raises nothing.

        `call_by` is asked when all but the sending is done; None from it, or what it raises, says that the
        call may not be made, and then None is returned.
        """
        self._seen.response = None
        self._seen.call_by = call_by
        try:
            answer = self._call(parameters)
        except _NotAllowed:
            return None
        raw: RawResponse | None = self._seen.response
        if isinstance(answer, Accepted) or raw is None:
            return answer, None
        return answer, raw

    def _call(self, parameters: dict[str, Any]) -> Answer:
        try:
            response = self._client.send_bulk_templated_email(**parameters)
        except exceptions.ClientError as error:
            return _refused(error)
        except ResponseParserError:
            raw: RawResponse | None = self._seen.response
            if raw is not None and raw.status >= _CLIENT_ERROR:
                return Refused(raw.status, "", "its body can't be read")
            return Lost("SES's answer can't be read")
        except _NotAllowed:
            raise
        except _TooLate:
            return NotAsked("this process was held up after begin")
        except _OPERATOR as error:
            return NotAsked(f"AWS credentials: {type(error).__name__}", operator=True)
        except _NEVER_ASKED as error:
            return NotAsked(f"SES can't be reached: {type(error).__name__}")
        except Exception as error:
            return Lost(f"no answer from SES: {type(error).__name__}")
        statuses = response.get("Status")
        return Accepted(None if statuses is None else [dict(status) for status in statuses])


def _encode_once(request: "AWSRequest", **_: object) -> None:
    """Make bytes of a request's form: botocore would encode it twice, to sign and to send, a third of a call's cost."""
    if isinstance(request.data, dict):
        # Its names are letters, digits and dots.
        request.data = "&".join([f"{name}={_quoted(value)}" for name, value in request.data.items()]).encode("ascii")


def _quoted(value: str) -> str:
    return value.translate(_QUOTED) if value.isascii() else urllib.parse.quote_plus(value)


def _refused(error: exceptions.ClientError) -> Refused:
    said: dict[str, Any] = dict(error.response.get("Error", {}))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", _SERVER_ERROR)
    return Refused(status, str(said.get("Code", "")), str(said.get("Message", "")))
