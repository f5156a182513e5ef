"""mailroom-send alone, its rows from a file, beside bare boto3 with the same calls from as many threads."""

import base64
import hashlib
import hmac
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from benchmarks.endpoint import Endpoint, rate, running_endpoint
from benchmarks.figures import Measure, Suite, Target
from benchmarks.programs import KEY, environment, running, running_sender
from benchmarks.rivals import address, bare_boto3
from benchmarks.server import Server

_ROWS: Final = 20_000
_LINE: Final = 10  # MAILROOM_BATCH_LIMIT's default
_SECONDS: Final = 120.0
_DELAYS: Final = (0.0, 0.05)
_CALLS: Final = (4, 16)
"""Calls at once: the default of MAILROOM_SES_CONCURRENCY, and the number that keeps a process busy at 50 ms."""


def _row(number: int) -> str:
    secret = hashlib.sha256(str(number).encode()).digest()
    signature = hmac.digest(bytes.fromhex(KEY), b"/activate" + secret, "sha256")
    field = base64.urlsafe_b64encode(secret + signature).decode().rstrip("=")
    return f"1,{address(number)},user{number},{field},"


def write_rows(path: Path, count: int) -> None:
    """Write this many rows as mailroom-collect prints them."""
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, count, _LINE):
            file.write(",".join(_row(number) for number in range(start, min(start + _LINE, count))) + "\n")


def ours(endpoint: Endpoint, calls: int) -> None:
    """Let mailroom-send send all rows."""
    with tempfile.TemporaryDirectory(prefix="mailroom-") as folder:
        path = Path(folder) / "rows"
        write_rows(path, _ROWS)
        with running_sender(endpoint.url, path, MAILROOM_SES_CONCURRENCY=str(calls)) as sender:
            endpoint.wait(_ROWS, _SECONDS, sender.check)


def bare(endpoint: Endpoint, calls: int) -> None:
    """Send as many with bare boto3."""
    with running(bare_boto3.command(endpoint.url, _ROWS, calls), environment(endpoint.url)) as program:
        endpoint.wait(_ROWS, _SECONDS, program.check)


def _measure(send: Callable[[Endpoint, int], None], delay: float, calls: int) -> Measure:
    def measure() -> float:
        with running_endpoint(delay) as endpoint:
            send(endpoint, calls)
            return rate(endpoint.arrivals())

    return measure


def _suite(delay: float, calls: int) -> Suite:
    return Suite(
        f"mailroom-send alone, SES at {delay * 1000:.0f} ms a call, {calls} calls at once",
        "mails/s",
        {"mailroom-send": _measure(ours, delay, calls), "bare boto3": _measure(bare, delay, calls)},
        [Target("mailroom-send", "bare boto3", 0.9)],
    )


def suites(server: Server) -> Iterator[Suite]:  # noqa: ARG001 - the sender alone needs no database
    """Yield the suites."""
    for delay in _DELAYS:
        for calls in _CALLS:
            yield _suite(delay, calls)
