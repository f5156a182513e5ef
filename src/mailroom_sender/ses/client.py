"""Makes calls to SES, and returns the answers."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3
import botocore
from botocore import exceptions
from botocore.config import Config

from mailroom_runtime.errors import OperatorNeeded
from mailroom_sender.aws.http_connection import IDLE_LIMIT, HttpCall, http_call
from mailroom_sender.aws.session import new_client, new_session
from mailroom_sender.input.row import Row
from mailroom_sender.log import log
from mailroom_sender.ses import sdk_answer
from mailroom_sender.ses.call import SIGNATURE_FRESH, NotAllowed, RawResponse, SesCall
from mailroom_sender.ses.form import encode_once
from mailroom_sender.ses.permission import CallPermission
from mailroom_sender.ses.verdict import Accepted, NotAsked, Refused, SesAnswer

if TYPE_CHECKING:
    from types_boto3_ses import SESClient

_CREATED: Final = "request-created.ses.SendBulkTemplatedEmail"
_SENDING: Final = "before-send.ses.SendBulkTemplatedEmail"
_ANSWERED: Final = "before-parse.ses.SendBulkTemplatedEmail"
_USER_AGENT: Final = f"mailroom boto3/{boto3.__version__} botocore/{botocore.__version__}"
"""botocore would build its own text twice for each call. That is a seventh of the CPU time of a call for one row."""
_RENEW_GAP: Final = 10.0
"""The least seconds between two sessions. It is less than between two probes. A session costs about 0.1 s of CPU."""

# At DEBUG botocore logs whole requests, with secrets. A program that imports this module may turn DEBUG on.
logging.getLogger("botocore").setLevel(logging.INFO)

_call: ContextVar[SesCall] = ContextVar("ses_call")
"""The call that the thread is making. The hooks of the SDK read it."""


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """The answer to a call; the response if it is an error; the seconds until the answer if SES answered."""

    answer: SesAnswer
    response: RawResponse | None = None
    took: float | None = None


def _sdk_config(connections: int, connect_timeout: float, read_timeout: float) -> Config:
    return Config(
        # The SDK must not retry: it would repeat a call whose answer was lost, and mailroom would not know.
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        max_pool_connections=connections,
        tcp_keepalive=True,
        user_agent=_USER_AGENT,
        parameter_validation=False,  # request.build() makes only strings, which were checked before
    )


class SesClient:
    """A client for any number of threads. Each call reaches SES at most once."""

    def __init__(
        self,
        *,
        connections: int,
        connect_timeout: float,
        call_timeout: float,
        idle_limit: float = IDLE_LIMIT,
        signature_fresh: float = SIGNATURE_FRESH,
        renew_gap: float = _RENEW_GAP,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make the client. Times are in seconds. Raises OperatorNeeded when there are no credentials.

        `call_timeout` is for a whole call: to connect, to send and to read the answer. `renew_gap` is the least time
        between two reads of the credentials.
        """
        self._config = _sdk_config(connections, connect_timeout, call_timeout)
        self._call_timeout = call_timeout
        self._idle_limit = idle_limit
        self._signature_fresh = signature_fresh
        self._renew_gap = renew_gap
        self._clock = clock
        self._client = self._new_client(" (debug mode needs none)")
        self._renewing = threading.Lock()
        self._credentials_fault = ""  # a code that means that other credentials might be accepted
        self._renewed_at = float("-inf")

    def _new_client(self, hint: str = "") -> "SESClient":
        client: SESClient = new_client(new_session(hint), "ses", self._config)
        client.meta.events.register_first(_CREATED, encode_once)
        client.meta.events.register(_SENDING, lambda **_: _call.get().check())
        client.meta.events.register(_ANSWERED, lambda response_dict, **_: _call.get().keep(response_dict))
        return client

    @property
    def endpoint(self) -> str:
        """Return the URL that calls go to."""
        return str(self._client.meta.endpoint_url)

    @property
    def region(self) -> str:
        """Return the region of the account."""
        return str(self._client.meta.region_name)

    def max_send_rate(self) -> float | str:
        """Return how many recipients a second SES accepts from this account, or why that is not known.

        This is MaxSendRate of GetSendQuota, which needs a permission of its own.
        """
        try:
            with http_call(HttpCall(time.monotonic() + self._call_timeout, self._idle_limit)):
                rate = self._client.get_send_quota().get("MaxSendRate", 0.0)
        except exceptions.ClientError as error:
            return sdk_answer.refused(error).code or "SES refused to answer"
        except Exception as error:
            return type(error).__name__
        return rate if rate > 0 else "SES gave no rate"

    def send(self, parameters: dict[str, Any], rows: Sequence[Row], permission: CallPermission) -> CallOutcome | None:
        """Make one call with these rows. Raises nothing.

        The permission is asked just before the call is sent. Returns None if the call may not be made, or if its
        signature is too old by then.
        """
        try:
            client = self._current_client()
        except OperatorNeeded as error:
            return CallOutcome(NotAsked(f"AWS credentials: {error.message}", operator=True))
        http = HttpCall(idle_limit=self._idle_limit)
        call = SesCall(rows, permission, http, self._call_timeout, self._signature_fresh, self._clock)
        _call.set(call)
        try:
            with http_call(http):
                answer: SesAnswer = sdk_answer.accepted(client.send_bulk_templated_email(**parameters))
        except NotAllowed:
            return None
        except Exception as error:
            answer = sdk_answer.failed(error, call, self._call_timeout)
        if client is self._client:
            self._credentials_fault = sdk_answer.credentials_fault(answer) or self._credentials_fault
        return CallOutcome(
            answer,
            None if isinstance(answer, Accepted) else call.response,
            call.took() if isinstance(answer, (Accepted, Refused)) else None,
        )

    def _current_client(self) -> "SESClient":
        """Return the client. If AWS refused its credentials, make a new one: somebody may have renewed them.

        The SDK itself renews the credentials of a role, but it reads a file of credentials only once.
        Raises OperatorNeeded when there are no credentials any more.
        """
        # Only one thread may make a session. Meanwhile the other threads use the old client.
        if not self._credentials_fault or not self._renewing.acquire(blocking=False):
            return self._client
        try:
            now = self._clock()
            if self._credentials_fault and now >= self._renewed_at + self._renew_gap:
                self._renewed_at = now
                old, self._client = self._client, self._new_client()
                log(
                    f"AWS refused a call ({self._credentials_fault}): reading the AWS credentials again",
                    event="credentials_read_again",
                    reason=self._credentials_fault,
                )
                self._credentials_fault = ""
                old.close()
            return self._client
        finally:
            self._renewing.release()
