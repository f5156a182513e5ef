"""Asks AWS slowly, and again when AWS throttles.

SES allows each of these calls once a second (API reference of each action). The permission for a call has the name of
its action. GetCallerIdentity needs no permission.
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from botocore import exceptions, xform_name
from botocore.config import Config
from botocore.parsers import ResponseParserError

from mailroom_sender.aws.http_connection import HttpCall, http_call
from mailroom_sender.aws.no_answer import NoAnswer, Why
from mailroom_sender.aws.session import (
    BAD_CREDENTIALS,
    DENIED,
    NO_CREDENTIALS,
    is_of_aws,
    new_client,
    new_session,
    region_of,
)

_INTERVAL: Final = 1.05  # seconds between two calls of the same action
_MOST_TRIES: Final = 5
_SERVER_ERROR: Final = 500  # HTTP
_CONNECT_TIMEOUT, _READ_TIMEOUT = 5, 10  # seconds
_THROTTLED: Final = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"})


class AwsQuestions:
    """SES and STS in the region that the sender would use."""

    def __init__(self, interval: float = _INTERVAL, sleep: Callable[[float], None] = time.sleep) -> None:
        """`interval` is in seconds. Raises OperatorNeeded when the SDK can't be set up, or finds no credentials."""
        self._interval = interval
        self._sleep = sleep
        self._free_at: dict[str, float] = {}
        session = new_session()
        self.region = region_of(session)
        self.region_is_chosen = bool(os.environ.get("AWS_REGION") or session.region_name)
        credentials = session.get_credentials()
        self.credentials_from = str(credentials.method or "") if credentials else ""
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=_CONNECT_TIMEOUT,
            read_timeout=_READ_TIMEOUT,
        )
        self._clients: dict[str, Any] = {service: new_client(session, service, config) for service in ("ses", "sts")}

    @property
    def own_endpoint(self) -> str | None:
        """Return the URL of the endpoint for SES; None if it is AWS's own."""
        return self._own_endpoint("ses")

    def _own_endpoint(self, service: str) -> str | None:
        url = str(self._clients[service].meta.endpoint_url)
        return None if is_of_aws(url) else url

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    def ask(self, action: str, **parameters: Any) -> dict[str, Any] | NoAnswer:
        """Call an action by its API name, and again when AWS throttles. Raises no error of AWS or the network."""
        service = "sts" if action == "GetCallerIdentity" else "ses"
        call = getattr(self._clients[service], xform_name(action))
        answer: dict[str, Any] | NoAnswer = NoAnswer(Why.THROTTLED, "Throttling")
        who = self._own_endpoint(service) or "AWS"
        for attempt in range(_MOST_TRIES):
            self._sleep(max(0.0, self._free_at.get(action, 0.0) - time.monotonic()))
            with http_call(HttpCall(time.monotonic() + _CONNECT_TIMEOUT + _READ_TIMEOUT)):
                answer = _answer(call, parameters)
            if isinstance(answer, NoAnswer):
                answer = replace(answer, action=action, who=who)
            if not isinstance(answer, NoAnswer) or answer.why is not Why.THROTTLED:
                self._free_at[action] = time.monotonic() + self._interval
                return answer
            self._free_at[action] = time.monotonic() + self._interval * 2**attempt
        return answer


def _answer(call: Callable[..., dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any] | NoAnswer:
    try:
        return call(**parameters)
    except exceptions.ClientError as error:
        return _refused(error)
    except NO_CREDENTIALS as error:
        return NoAnswer(Why.CREDENTIALS, type(error).__name__)
    except exceptions.ParamValidationError as error:  # its message may contain the parameters
        return NoAnswer(Why.REFUSED, type(error).__name__)
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        return NoAnswer(Why.UNREACHABLE, type(error).__name__)
    except ResponseParserError as error:  # the answer may come from a proxy, not from AWS
        return NoAnswer(Why.UNREADABLE, type(error).__name__)
    except Exception as error:
        return NoAnswer(Why.BROKEN, type(error).__name__)


def _refused(error: exceptions.ClientError) -> NoAnswer:
    said: dict[str, Any] = dict(error.response.get("Error", {}))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(said.get("Code") or f"HTTP {status}")
    why = Why.REFUSED
    if code in _THROTTLED:
        why = Why.THROTTLED
    elif code in DENIED:
        why = Why.DENIED
    elif code in BAD_CREDENTIALS:
        why = Why.CREDENTIALS
    elif status >= _SERVER_ERROR:
        why = Why.BROKEN
    return NoAnswer(why, code, str(said.get("Message") or ""))
