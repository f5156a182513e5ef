"""The limits of a call to SES: a deadline, a size of its answer, a fresh connection, current credentials."""

import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mailroom_sender.ses.client import SesClient
from mailroom_sender.ses.request import Envelope
from mailroom_sender.ses.verdict import Accepted, CallQuestion, Lost, NotAsked, Outcome, Refused, SesAnswer, judge
from tests.support.raw_endpoint import Answer as Bytes
from tests.support.raw_endpoint import RawEndpoint, endless, running_raw_endpoint, trickling, whole
from tests.support.sender_parts import permission, rows, ses_client
from tests.support.ses_endpoint import Endpoint, accepted

PARAMETERS: dict[str, Any] = {
    "Source": "a@example.com",
    "Template": "t",
    "ConfigurationSetName": "tracking",
    "DefaultTemplateData": "{}",
    "Destinations": [{"Destination": {"ToAddresses": ["b@example.com"]}, "ReplacementTemplateData": "{}"}],
}
ROWS = rows(1)
ASKED = CallQuestion(ROWS, Envelope("a@example.com", "tracking", escape_html=True), source_works=False)
TIMEOUT = 0.5  # seconds
OK, ERROR = b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 500 No\r\n"
LONG = b"Content-Length: 900000000\r\n\r\n"
SENT = whole(accepted([("Success", "m-1")]).body)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Bytes], RawEndpoint]]:
    """Serve an answer at the endpoint that the SDK uses."""
    with running_raw_endpoint(SENT) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SES", endpoint.url)

        def choose(answer: Bytes) -> RawEndpoint:
            endpoint.answer = answer
            return endpoint

        yield choose


def client(timeout: float = 30.0, **settings: float) -> SesClient:
    return ses_client(connect_timeout=timeout, call_timeout=timeout, **settings)


def call(ses: SesClient) -> SesAnswer:
    sent = ses.send(PARAMETERS, ROWS, permission(*ROWS))
    assert sent is not None
    return sent.answer


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (trickling(b"", b"H"), Outcome.UNKNOWN),
        (trickling(OK, b"X: y\r\n"), Outcome.UNKNOWN),
        (trickling(OK + LONG, b"x"), Outcome.UNKNOWN),
        (trickling(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), Outcome.UNKNOWN),
        (trickling(ERROR + LONG, b"x"), Outcome.LATER),
    ],
    ids=["status", "headers", "body", "chunks", "error"],
)
def test_answer_that_trickles_ends_at_the_deadline(
    serve: Callable[[Bytes], RawEndpoint], answer: Bytes, outcome: Outcome
) -> None:
    """A byte now and then does not extend a call. If the known part is an error, no mail was accepted."""
    serve(answer)
    ses = client(timeout=TIMEOUT)
    begun = time.monotonic()
    (verdict,) = judge(call(ses), ASKED)
    assert TIMEOUT <= time.monotonic() - begun < TIMEOUT + 10  # it sends slowly for ever
    assert (verdict.outcome, verdict.slower) == (outcome, True)
    assert "no whole answer from SES in 0.5 s" in verdict.reason


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (endless(OK + LONG), Outcome.UNKNOWN),
        (endless(OK + b"\r\n"), Outcome.UNKNOWN),
        (endless(ERROR + LONG), Outcome.LATER),
    ],
)
def test_endless_answer_is_not_read(serve: Callable[[Bytes], RawEndpoint], answer: Bytes, outcome: Outcome) -> None:
    """At most a mebibyte of an answer is read, whatever length it declares."""
    serve(answer)
    (verdict,) = judge(call(client()), ASKED)
    assert verdict.outcome is outcome
    assert "SES's answer is longer than 1,048,576 bytes" in verdict.reason


def test_rate_that_trickles_ends_at_the_deadline(serve: Callable[[Bytes], RawEndpoint]) -> None:
    """The question for the rate delays the sender's end no longer than a call does."""
    serve(trickling(OK + LONG, b"x"))
    begun = time.monotonic()
    assert client(timeout=TIMEOUT).max_send_rate() == "ReadTimeoutError"
    assert time.monotonic() - begun < TIMEOUT + 10  # it sends slowly for ever


def test_connecting_has_one_deadline_for_all_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with eight addresses that drop packets costs the time of one. SES was not asked."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL_SES", f"http://many.example:{port}")
        ses = client(timeout=TIMEOUT)
        resolve = socket.getaddrinfo
        with socket.create_connection(("127.0.0.1", port)):  # fills the queue: further connections get no answer

            def many(host: str, *args: Any, **kwargs: Any) -> list[Any]:
                return resolve("127.0.0.1", *args, **kwargs) * 8 if host == "many.example" else resolve(host, *args)

            monkeypatch.setattr(socket, "getaddrinfo", many)
            begun = time.monotonic()
            assert call(ses) == NotAsked("SES can't be reached: ConnectTimeoutError")
            assert time.monotonic() - begun < 7 * TIMEOUT


def test_long_idle_connection_is_not_used_again(serve: Callable[[Bytes], RawEndpoint]) -> None:
    """A busy connection is kept. A network may have dropped an idle one."""
    endpoint = serve(SENT)
    ses = client()
    assert isinstance(call(ses), Accepted)
    assert isinstance(call(ses), Accepted)
    assert (endpoint.connections, endpoint.requests) == (1, 2)
    ses = client(idle_limit=0)
    call(ses)
    call(ses)
    assert (endpoint.connections, endpoint.requests) == (3, 4)


def test_lost_answer_on_a_used_connection_says_nothing_of_the_rate(serve: Callable[[Bytes], RawEndpoint]) -> None:
    """The network may have dropped it, so the rate stays. On a new connection SES may be the cause."""

    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionError  # ends the connection

    endpoint = serve(SENT)
    ses = client()
    call(ses)
    endpoint.answer = reset
    on_used, on_new = call(ses), call(ses)
    assert isinstance(on_used, Lost)
    assert isinstance(on_new, Lost)
    assert (on_used.slower, on_new.slower) == (False, True)
    assert [judge(answer, ASKED)[0].slower for answer in (on_used, on_new)] == [False, True]


def test_failure_before_the_request_is_no_doubt(serve: Callable[[Bytes], RawEndpoint]) -> None:
    """Before a byte was sent, SES was not asked, whatever failed."""
    endpoint = serve(SENT)
    ses = client()

    def fail(**_: object) -> None:
        raise RuntimeError

    ses._client.meta.events.register("before-sign.ses.SendBulkTemplatedEmail", fail)
    assert call(ses) == NotAsked("SES was not reached: RuntimeError")
    assert endpoint.connections == 0


def test_refusal_of_another_service_before_the_request_costs_no_time(
    serve: Callable[[Bytes], RawEndpoint],
) -> None:
    """To assume a role, the SDK asks STS while it signs. A refusal there is a refusal, although SES was not asked."""
    endpoint = serve(SENT)
    ses = client()

    def deny(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no such role"}}, "AssumeRole")

    ses._client.meta.events.register("before-sign.ses.SendBulkTemplatedEmail", deny)
    sent = ses.send(PARAMETERS, ROWS, permission(*ROWS))
    assert sent is not None
    assert (sent.answer, sent.took) == (Refused(500, "AccessDenied", "no such role"), None)
    assert endpoint.connections == 0


@pytest.mark.parametrize("code", ["InvalidClientTokenId", "ExpiredToken", "AccessDenied"])
def test_renewed_credentials_are_used_without_a_restart(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str
) -> None:
    """A rewritten shared credentials file is read again once its old key was refused."""
    file = tmp_path / "credentials"

    def write(key: str) -> None:
        file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = example\n")

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_ENDPOINT_URL_SES", endpoint.url)
    write("AKIDOLD")
    endpoint.refused_keys = {"AKIDOLD": code}
    ses = client(renew_gap=0.0)
    assert isinstance(call(ses), Refused)
    assert isinstance(call(ses), Refused)  # not renewed yet
    file.write_text("")
    gone = call(ses)
    assert gone == NotAsked("AWS credentials: no AWS credentials are found", operator=True)
    write("AKIDNEW")
    assert isinstance(call(ses), Accepted)
    renewed = ses._client
    call(ses)
    assert ses._client is renewed
