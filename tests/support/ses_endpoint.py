"""A local SES that keeps its own record and can fail. It knows the calls that mailroom makes."""

import contextlib
import re
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from tests.support.rate_limit import RateLimit
from tests.support.ses_account import GARBAGE, Account, Refused

_NAMESPACE = "http://ses.amazonaws.com/doc/2010-12-01/"


@dataclass(frozen=True)
class Call:
    """One call that reached the endpoint."""

    template: str
    source: str
    config_set: str
    default_data: str
    destinations: list[tuple[str, str]]  # address, replacement data

    @property
    def addresses(self) -> list[str]:
        return [address for address, _ in self.destinations]


@dataclass(frozen=True)
class Reply:
    """The answer to a call. Without a status the connection is cut after the request was accepted."""

    status: int | None = 200
    body: bytes = b""
    content_type: str = "text/xml"
    delay: float = 0.0  # seconds


def accepted(statuses: list[tuple[str, str]]) -> Reply:
    """Return an answer with a status and a message id (or an error text) for each destination."""
    members = "".join(
        f"<member><Status>{status}</Status>"
        + (f"<MessageId>{text}</MessageId>" if status == "Success" else f"<Error>{escape(text)}</Error>")
        + "</member>"
        for status, text in statuses
    )
    return Reply(
        body=(
            f'<SendBulkTemplatedEmailResponse xmlns="{_NAMESPACE}"><SendBulkTemplatedEmailResult><Status>{members}'
            "</Status></SendBulkTemplatedEmailResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>"
            "</SendBulkTemplatedEmailResponse>"
        ).encode()
    )


def refused(code: str, message: str, status: int = 400) -> Reply:
    """Return the answer with which SES refuses a whole call."""
    return Reply(
        status=status,
        body=(
            f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>Sender</Type><Code>{code}</Code>'
            f"<Message>{escape(message)}</Message></Error><RequestId>r-2</RequestId></ErrorResponse>"
        ).encode(),
    )


@dataclass
class Endpoint:
    """The endpoint's record, and its next answers."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    mailed: list[tuple[str, str, str]] = field(default_factory=list)  # template, address, data
    replies: deque[Reply] = field(default_factory=deque)  # for the next calls, in order; after them all is accepted
    decide: Callable[[Call], Reply | None] = lambda _: None
    max_send_rate: str | None = None  # None: GetSendQuota is not permitted
    limit: RateLimit | None = None  # None: calls are never throttled
    account: Account = field(default_factory=Account)
    refused_keys: dict[str, str] = field(
        default_factory=dict
    )  # access key ids, and the code with which they are refused
    mailed_at: list[float] = field(default_factory=list)  # monotonic seconds of each entry of mailed
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _messages: int = 0

    @property
    def addresses(self) -> list[str]:
        """The addresses that were mailed, in order."""
        return [address for _, address, _ in self.mailed]

    def answer(self, call: Call) -> Reply:
        """Record a call and choose its answer.

        A call that is cut or gets garbage was mailed. A refused call was not.
        """
        with self._lock:
            self.calls.append(call)
            reply = self.replies.popleft() if self.replies else self.decide(call)
            if reply is None and self.limit and not self.limit.takes(len(call.destinations), time.monotonic()):
                reply = refused("Throttling", "Maximum sending rate exceeded.")
            if reply is None:
                reply = self.accept(call)
            if reply.status in (None, 200):
                for place, (address, data) in enumerate(call.destinations):
                    if self._took(reply, place):
                        self.mailed.append((call.template, address, data))
                        self.mailed_at.append(time.monotonic())
            return reply

    def accept(self, call: Call) -> Reply:
        """Return the answer that accepts all of a call."""
        return accepted([("Success", self._message_id()) for _ in call.destinations])

    def _message_id(self) -> str:
        self._messages += 1
        return f"m-{self._messages}"

    @staticmethod
    def _took(reply: Reply, place: int) -> bool:
        statuses = reply.body.split(b"<member>")[1:]
        return not statuses or b"<Status>Success</Status>" in statuses[place]


def _quota(rate: str | None, account: Account) -> Reply:
    if rate is None:
        return refused("AccessDenied", "not authorized to perform: ses:GetSendQuota", 403)
    a_day, used = account.quota
    return Reply(
        body=(
            f'<GetSendQuotaResponse xmlns="{_NAMESPACE}"><GetSendQuotaResult><SentLast24Hours>{used}</SentLast24Hours>'
            f"<Max24HourSend>{a_day}</Max24HourSend><MaxSendRate>{rate}</MaxSendRate></GetSendQuotaResult>"
            "<ResponseMetadata><RequestId>r-3</RequestId></ResponseMetadata></GetSendQuotaResponse>"
        ).encode()
    )


def _reply(endpoint: Endpoint, form: dict[str, str]) -> Reply:
    if form["Action"] in endpoint.account.garbage:
        return Reply(body=GARBAGE)
    if form["Action"] == "GetSendQuota":
        return _quota(endpoint.max_send_rate, endpoint.account)
    if not endpoint.account.knows(form["Action"]):
        return endpoint.answer(_call(form))
    try:
        return Reply(body=endpoint.account.answer(form))
    except Refused as error:
        return refused(error.code, error.message, error.status)


def _call(form: dict[str, str]) -> Call:
    assert form["Action"] == "SendBulkTemplatedEmail", form["Action"]
    destinations: list[tuple[str, str]] = []
    while (prefix := f"Destinations.member.{len(destinations) + 1}.") + "ReplacementTemplateData" in form:
        address = form[prefix + "Destination.ToAddresses.member.1"]
        assert prefix + "Destination.ToAddresses.member.2" not in form
        destinations.append((address, form[prefix + "ReplacementTemplateData"]))
    return Call(
        form["Template"], form["Source"], form["ConfigurationSetName"], form["DefaultTemplateData"], destinations
    )


@contextlib.contextmanager
def running_endpoint(given: Endpoint | None = None) -> Iterator[Endpoint]:
    """Serve on a free port of the loopback interface."""
    endpoint = given or Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or the body waits 40 ms for the head's acknowledgement

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:  # the client died while it sent its request
                self.close_connection = True
                return
            form = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
            key = re.search("Credential=([^/]+)", self.headers["Authorization"] or "")
            code = endpoint.refused_keys.get(key[1] if key else "")
            reply = refused(code, "these credentials are refused", 403) if code else _reply(endpoint, form)
            if reply.delay:
                time.sleep(reply.delay)
            if reply.status is None:
                self.close_connection = True
                # With a reset, so that the client sees a cut and not an end.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            with contextlib.suppress(OSError):
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.content_type)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            if not isinstance(sys.exception(), ConnectionError):  # a client was killed
                super().handle_error(request, client_address)  # type: ignore[arg-type]

    server = Server(("127.0.0.1", 0), Handler)
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
