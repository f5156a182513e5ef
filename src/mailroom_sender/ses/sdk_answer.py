"""Makes an answer of SES from what the SDK returns or raises for a call."""

from typing import Any, Final

from botocore import exceptions
from botocore.parsers import ResponseParserError

from mailroom_sender.aws.http_connection import LONGEST_ANSWER, AnswerTooLong
from mailroom_sender.aws.session import BAD_CREDENTIALS, DENIED, NO_CREDENTIALS
from mailroom_sender.ses.call import SesCall, TooLate
from mailroom_sender.ses.verdict import Accepted, Lost, NotAsked, Refused, SesAnswer

_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400
_NEVER_ASKED: Final = (
    exceptions.EndpointConnectionError,
    exceptions.ConnectTimeoutError,
    exceptions.ProxyConnectionError,
    exceptions.SSLError,
)


def accepted(response: Any) -> Accepted:
    """Return the answer that the SDK read from a response with status 200."""
    statuses = response.get("Status")
    return Accepted(None if statuses is None else [dict(status) for status in statuses])


def failed(error: Exception, call: SesCall, timeout: float) -> SesAnswer:
    """Return the answer that an error of the SDK means. `timeout` is that of the call, in seconds."""
    if isinstance(error, exceptions.ClientError):
        return refused(error)
    if isinstance(error, ResponseParserError):
        if call.response is not None and call.response.status >= _CLIENT_ERROR:
            return Refused(call.response.status, "", "its body can't be read")
        return Lost("SES's answer can't be read")
    if isinstance(error, TooLate):
        return NotAsked("this process was held up after begin")
    if isinstance(error, NO_CREDENTIALS):
        return NotAsked(f"AWS credentials: {type(error).__name__}", operator=True)
    if isinstance(error, _NEVER_ASKED):
        return NotAsked(f"SES can't be reached: {type(error).__name__}")
    return _unanswered(error, call, timeout)


def _unanswered(error: Exception, call: SesCall, timeout: float) -> SesAnswer:
    """Return the answer for a call without a complete answer."""
    http = call.http
    if not http.was_sent:
        late = " in time" if http.is_late else ""
        return NotAsked(f"SES was not reached{late}: {type(error).__name__}")
    if isinstance(getattr(error, "kwargs", {}).get("error"), AnswerTooLong):
        why = f"SES's answer is longer than {LONGEST_ANSWER:,} bytes"
    elif http.is_late:
        why = f"no whole answer from SES in {timeout:.1f} s: {type(error).__name__}"
    else:
        why = f"no answer from SES: {type(error).__name__}"
    if http.status is not None and http.status >= _CLIENT_ERROR:
        return Refused(http.status, "", why)  # its status says that nothing was accepted
    # If the network dropped the connection while it was idle, that does not mean that SES is overloaded.
    return Lost(why, slower=http.has_answer or not http.is_reused)


def refused(error: exceptions.ClientError) -> Refused:
    """Return the refusal that the SDK read from a response."""
    said: dict[str, Any] = dict(error.response.get("Error", {}))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", _SERVER_ERROR)
    return Refused(status, str(said.get("Code", "")), str(said.get("Message", "")))


def credentials_fault(answer: SesAnswer) -> str:
    """Return the code or reason of an answer that other credentials might change; empty for other answers."""
    if isinstance(answer, NotAsked) and answer.operator:
        return answer.reason
    return answer.code if isinstance(answer, Refused) and answer.code in BAD_CREDENTIALS | DENIED else ""
