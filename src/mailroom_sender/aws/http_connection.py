"""HTTP connections to AWS with limits: the time of a call, the size of its answer, and the age of an idle connection.

botocore uses urllib3. Its timeouts are for each address of a host and for each piece of an answer. So a call would
never end if the endpoint sends a byte now and then, and the memory would fill up if it sends without end.
"""

import http.client
import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import botocore
from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import create_connection

from mailroom_runtime.errors import OperatorNeeded

LONGEST_ANSWER: Final = 1 << 20
"""Bytes of an answer, head and body. SES's answer for 50 destinations has about 10 KB."""
IDLE_LIMIT: Final = 20.0
"""Seconds after which an idle connection is not used again.

The network may have dropped it by then, and neither end knows. The shortest documented idle timeouts are 60 s (AWS
Application Load Balancer), 240 s (Azure's outbound NAT) and 350 s (AWS NAT gateway).
"""
_PIECE: Final = 1 << 14  # bytes of a TLS record (RFC 8446, 5.1): so the deadline is checked for each record


class AnswerTooLong(Exception):
    """An answer is longer than LONGEST_ANSWER. It was not read to its end."""


@dataclass(slots=True)
class HttpCall:
    """The limits of one call, and its progress. The deadline is in monotonic seconds."""

    deadline: float = float("inf")
    idle_limit: float = IDLE_LIMIT  # seconds
    is_reused: bool = False  # its connection was used for another call before
    was_sent: bool = False  # at least a part of the call
    has_answer: bool = False  # at least one byte of it
    status: int | None = None  # the HTTP status of the answer, once its head is read

    @property
    def is_late(self) -> bool:
        """Return whether the deadline has passed."""
        return time.monotonic() >= self.deadline

    def remaining(self) -> float:
        """Return the seconds until the deadline. Raises TimeoutError when it has passed."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline of the call is over")
        return left


_current: ContextVar[HttpCall] = ContextVar("http_call")


@contextmanager
def http_call(call: HttpCall) -> Iterator[None]:
    """Apply these limits to the calls that this thread makes within the block."""
    token = _current.set(call)
    try:
        yield
    finally:
        _current.reset(token)


def _call() -> HttpCall:
    return _current.get(None) or HttpCall()


def _limit(connected: socket.socket | None, call: HttpCall) -> None:
    """Let the socket wait at most until the call's deadline. Raises TimeoutError when it has passed."""
    if connected is not None and call.deadline < float("inf"):
        connected.settimeout(call.remaining())


class _BoundedReader(io.RawIOBase):
    """Reads a socket, up to the call's deadline and the longest answer."""

    def __init__(self, raw: io.RawIOBase, connected: socket.socket) -> None:
        self._raw = raw
        self._socket = connected
        self._left = LONGEST_ANSWER

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        call = _call()
        _limit(self._socket, call)
        count: int | None = self._raw.readinto(buffer)
        if count:
            call.has_answer = True
            self._left -= count
            if self._left < 0:
                raise AnswerTooLong
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: Any = io.BufferedReader(_BoundedReader(self.fp.detach(), sock))

    def begin(self) -> None:
        super().begin()
        _call().status = self.status


class _Bounded:
    """The common part of both kinds of connection. The overridden methods are the same in urllib3 1.26 and 2."""

    response_class: Any = _BoundedResponse
    sock: Any
    used_at = 0.0  # monotonic seconds
    _count = 0  # of calls on the present socket

    def _new_conn(self: Any) -> socket.socket:
        """Connect within one timeout for all addresses of the host. Each gets an equal part of the time left."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise NewConnectionError(self, f"the host's address is not known: {error}") from error
        call, until = _call(), time.monotonic() + self.timeout
        problem: OSError = OSError("the host has no address")
        for left, (*_, address) in zip(range(len(found), 0, -1), found, strict=True):
            timeout = (min(until, call.deadline) - time.monotonic()) / left
            if timeout <= 0:
                break
            where = str(address[0]), self.port
            try:
                return create_connection(where, timeout, self.source_address, self.socket_options)
            except OSError as error:
                problem = error
        if isinstance(problem, TimeoutError) or call.is_late:
            raise ConnectTimeoutError(self, "no connection in time") from problem
        raise NewConnectionError(self, f"no connection: {problem}") from problem

    def connect(self: Any) -> None:
        self._count = 0
        super().connect()  # type: ignore[misc]

    def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Make the request, unless the deadline passed while it connected: nothing is sent after the deadline."""
        call = _call()
        if self.sock is None:
            self.connect()
        _limit(self.sock, call)
        call.is_reused, call.was_sent = self._count > 0, True
        self._count += 1
        self.used_at = time.monotonic()
        return super().request(*args, **kwargs)  # type: ignore[misc]

    def send(self: Any, data: Any) -> None:
        call = _call()
        for start in range(0, len(data), _PIECE):
            _limit(self.sock, call)
            super().send(data[start : start + _PIECE])  # type: ignore[misc]


class _HttpConnection(_Bounded, AWSHTTPConnection):
    pass


class _HttpsConnection(_Bounded, AWSHTTPSConnection):
    pass


class _Pool:
    def _get_conn(self: Any, timeout: float | None = None) -> Any:
        """Return a connection of the pool. If it was idle for too long, close it: its next request connects again."""
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        if connection.sock is not None and time.monotonic() - connection.used_at > _call().idle_limit:
            connection.close()
        return connection


class _HttpPool(_Pool, AWSHTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(_Pool, AWSHTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


def limit_connections(client: Any) -> None:
    """Let a botocore client make only connections with limits. Raises OperatorNeeded when this botocore can't.

    botocore has no public way to choose the class of a connection. So this changes a private table, which the session
    shares with all its managers, also those for proxies. botocore 1.36 to 1.44 have it.
    """
    try:
        session = client._endpoint.http_session  # noqa: SLF001
        session._pool_classes_by_scheme.update(http=_HttpPool, https=_HttpsPool)  # noqa: SLF001
    except AttributeError:
        raise OperatorNeeded(
            f"botocore {botocore.__version__} is not a version that mailroom supports", "install boto3 1.36 to 1.44"
        ) from None
