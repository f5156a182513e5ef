"""Calls to SES: parameters to an answer."""

import http.client
import logging
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
from mailroom_sender.aws.http_connection import IDLE_LIMIT, LONGEST_ANSWER, AnswerTooLong, HttpCall, http_call
from mailroom_sender.aws.session import BAD_CREDENTIALS, DENIED, NO_CREDENTIALS, new_client, new_session
from mailroom_sender.log import log
from mailroom_sender.ses.verdict import Accepted, Lost, NotAsked, Refused, SesAnswer

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from types_boto3_ses import SESClient

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
_RENEW_GAP: Final = 10.0
"""Seconds between two sessions at least: less than between two probes, and a session costs some 0.1 s of CPU."""


# At DEBUG botocore logs whole requests; should whoever imports us turn that on, not these.
logging.getLogger("botocore").setLevel(logging.INFO)


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


CallOutcome = tuple[SesAnswer, RawResponse | None]
"""What came of a call, and the response if it is an error."""


class SesClient:
    """A client for any number of threads. Each call reaches SES once at most."""

    def __init__(
        self, *, connections: int, connect_timeout: float, call_timeout: float, idle_limit: float = IDLE_LIMIT
    ) -> None:
        """Make the client; times in seconds. Raises OperatorNeeded when there are no credentials.

        `call_timeout` is for all of a call: to connect, to send and to read the answer.
        """
        self._config = Config(
            # The SDK's own retries post a call again whose answer was lost, unseen by us.
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=connect_timeout,
            read_timeout=call_timeout,
            max_pool_connections=connections,
            tcp_keepalive=True,
            user_agent=_USER_AGENT,
            parameter_validation=False,  # request.build() makes nothing but strings, checked before
        )
        self._call_timeout = call_timeout
        self._idle_limit = idle_limit
        self._seen = threading.local()
        self._client = self._new_client(" (debug mode needs none)")
        self._renewing = threading.Lock()
        self._refused_by = ""  # a code that says that other credentials might be taken
        self._renewed_at = float("-inf")

    def _new_client(self, hint: str = "") -> "SESClient":
        client: SESClient = new_client(new_session(hint), "ses", self._config)
        client.meta.events.register_first(_CREATED, _encode_once)
        client.meta.events.register(_SENDING, self._check_time)
        client.meta.events.register(_ANSWERED, self._keep)
        return client

    @property
    def endpoint(self) -> str:
        """Return the URL that calls go to."""
        return str(self._client.meta.endpoint_url)

    def _check_time(self, **_: object) -> None:
        """Ask and look at the clock at the last moment: signing takes a while, and a process may be stopped."""
        try:
            call_by = self._seen.call_by()
        except Exception:
            raise _NotAllowed from None  # who asked hears of it where it asks again
        if call_by is None:
            raise _NotAllowed
        now = time.monotonic()
        if now > call_by:
            raise _TooLate
        self._seen.call.deadline = now + self._call_timeout

    def _keep(self, response_dict: dict[str, Any], **_: object) -> None:
        self._seen.response = RawResponse(
            response_dict["status_code"], dict(response_dict["headers"]), bytes(response_dict["body"])
        )

    def max_send_rate(self) -> float | str:
        """Return the recipients a second that SES takes from this account, or why that is not known.

        GetSendQuota, whose MaxSendRate this is, needs a permission of its own.
        """
        try:
            with http_call(HttpCall(time.monotonic() + self._call_timeout, self._idle_limit)):
                rate = self._client.get_send_quota().get("MaxSendRate", 0.0)
        except exceptions.ClientError as error:
            return _refused(error).code or "SES refused to tell"
        except Exception as error:
            return type(error).__name__
        return rate if rate > 0 else "SES named none"

    def send(self, parameters: dict[str, Any], call_by: Callable[[], float | None]) -> CallOutcome | None:
        """Make one call, not after the moment (monotonic seconds) that `call_by` returns. Raises nothing.

        `call_by` is asked when all but the sending is done; None from it, or what it raises, says that the
        call may not be made, and then None is returned.
        """
        self._seen.response = None
        self._seen.call_by = call_by
        self._seen.call = HttpCall(idle_limit=self._idle_limit)
        try:
            client = self._current_client()
            with http_call(self._seen.call):
                answer = self._call(client, parameters)
        except OperatorNeeded as error:
            return NotAsked(f"AWS credentials: {error.message}", operator=True), None
        except _NotAllowed:
            return None
        if client is self._client:
            self._refused_by = _refused_by(answer) or self._refused_by
        raw: RawResponse | None = self._seen.response
        if isinstance(answer, Accepted) or raw is None:
            return answer, None
        return answer, raw

    def _current_client(self) -> "SESClient":
        """Return the client; a new one when its credentials were refused, as somebody may have renewed them.

        The SDK renews those of a role by itself, but reads a file of credentials only once.
        Raises OperatorNeeded when there are no credentials any more.
        """
        # In one thread: making sessions is not safe in several. The others go on meanwhile, with the old one.
        if not self._refused_by or not self._renewing.acquire(blocking=False):
            return self._client
        try:
            now = time.monotonic()
            if self._refused_by and now >= self._renewed_at + _RENEW_GAP:
                self._renewed_at = now
                old, self._client = self._client, self._new_client()
                log(f"reading the AWS credentials again, as AWS refused a call ({self._refused_by})")
                self._refused_by = ""
                old.close()
            return self._client
        finally:
            self._renewing.release()

    def _call(self, client: "SESClient", parameters: dict[str, Any]) -> SesAnswer:
        try:
            response = client.send_bulk_templated_email(**parameters)
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
        except NO_CREDENTIALS as error:
            return NotAsked(f"AWS credentials: {type(error).__name__}", operator=True)
        except _NEVER_ASKED as error:
            return NotAsked(f"SES can't be reached: {type(error).__name__}")
        except Exception as error:
            return self._unanswered(self._seen.call, error)
        statuses = response.get("Status")
        return Accepted(None if statuses is None else [dict(status) for status in statuses])

    def _unanswered(self, call: HttpCall, error: Exception) -> SesAnswer:
        """Return what a call came to that has no whole answer."""
        if not call.was_sent:
            late = " in time" if call.is_late else ""
            return NotAsked(f"SES was not reached{late}: {type(error).__name__}")
        if isinstance(getattr(error, "kwargs", {}).get("error"), AnswerTooLong):
            why = f"SES's answer is longer than {LONGEST_ANSWER:,} bytes"
        elif call.is_late:
            why = f"no whole answer from SES in {self._call_timeout:.1f} s: {type(error).__name__}"
        else:
            why = f"no answer from SES: {type(error).__name__}"
        if call.status is not None and call.status >= _CLIENT_ERROR:
            return Refused(call.status, "", why)  # what is known of it says that nothing was accepted
        # A connection that the network forgot while it was idle says nothing of how much SES takes.
        return Lost(why, slower=call.has_answer or not call.is_reused)


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


def _refused_by(answer: SesAnswer) -> str:
    """Return the code, or the reason, of an answer that other credentials might change; empty for any other."""
    if isinstance(answer, NotAsked) and answer.operator:
        return answer.reason
    return answer.code if isinstance(answer, Refused) and answer.code in BAD_CREDENTIALS | DENIED else ""
