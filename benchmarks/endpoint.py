"""A local SES that needs little CPU, in its own process.

Every mail is accepted, unless a rate is given: then a call that the bucket does not hold enough for is throttled as a
whole. For each accepted call it notes when the whole request had come, how many mails it had, and the raw body if asked
to record. The body is parsed only when it is requested. The control side speaks HTTP as well:

    GET /mails                    how many mails so far
    GET /throttles                how many calls were throttled so far
    GET /wait?mails=N&seconds=S   the same, as soon as there are N, or S seconds have passed
    GET /arrivals                 for each accepted call: monotonic seconds, mails, addresses
    GET /forget                   start again at zero
"""

import argparse
import asyncio
import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import parse_qs, unquote_plus, urlsplit

import uvloop

from benchmarks.answers import Answers, Limit, response

_ADDRESS: Final = re.compile(rb"Destination\.ToAddresses\.member\.1=([^&]*)")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_PATIENCE: Final = 10.0
"""Seconds within which the process must start, and must answer a request that needs no waiting."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call that was accepted. Its addresses are known only if they were recorded."""

    at: float
    """Monotonic seconds: CLOCK_MONOTONIC is the same in all processes of a machine."""
    mails: int
    addresses: tuple[str, ...]


def rate(arrivals: list[Arrival]) -> float:
    """Return the mails per second: those after the first call, divided by the time from the first call to the last."""
    return sum(arrival.mails for arrival in arrivals[1:]) / (arrivals[-1].at - arrivals[0].at)


# In the process of its own


class _Record:
    """The calls so far, and the requests that wait for more."""

    def __init__(self, record: bool) -> None:
        self._record = record
        self._calls: list[tuple[float, int, bytes]] = []
        self._waiting: list[tuple[int, asyncio.Event]] = []
        self.mails = 0
        self.throttles = 0

    def accepted(self, mails: int, body: bytes, now: float) -> None:
        """Note a call that was accepted."""
        self._calls.append((now, mails, body if self._record else b""))
        self.mails += mails
        for wanted, event in self._waiting:
            if self.mails >= wanted:
                event.set()

    def throttled(self) -> None:
        """Note a call that was throttled."""
        self.throttles += 1

    def forget(self) -> None:
        """Begin anew."""
        self._calls.clear()
        self.mails = self.throttles = 0

    async def wait(self, mails: int, seconds: float) -> int:
        """Return the number of mails, once there are this many or the time is over."""
        waiter = (mails, asyncio.Event())
        if self.mails < mails:
            self._waiting.append(waiter)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(waiter[1].wait(), seconds)
            self._waiting.remove(waiter)
        return self.mails

    def arrivals(self) -> list[tuple[float, int, list[str]]]:
        """Return all accepted calls, their addresses decoded."""
        return [
            (at, mails, [unquote_plus(address.decode()) for address in _ADDRESS.findall(body)])
            for at, mails, body in self._calls
        ]


class _Connection(asyncio.Protocol):
    """One connection that is kept alive. Requests are not pipelined, and boto3 does not do that either."""

    def __init__(self, answers: Answers, record: _Record, delay: float) -> None:
        self._answers = answers
        self._record = record
        self._delay = delay
        self._held = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport does not inherit from it
        self._loop = asyncio.get_running_loop()
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Receive data. Answer if a request is complete."""
        held = self._held + data if self._held else data
        end = held.find(b"\r\n\r\n") + 4
        if end < 4:
            self._held = held
            return
        match = _LENGTH.search(held, 0, end)
        if len(held) < end + (int(match[1]) if match else 0):
            self._held = held
            return
        self._held = b""
        self._take(held, end)

    def _take(self, request: bytes, end: int) -> None:
        if request.startswith(b"GET "):
            task = self._loop.create_task(self._control(request.split(b" ", 2)[1].decode()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        response = self._answers.answer(request[end:], time.monotonic())
        if self._delay:
            self._loop.call_later(self._delay, self._write, response)
        else:
            self._write(response)

    def _write(self, response: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(response)

    async def _control(self, target: str) -> None:
        url = urlsplit(target)
        words = {name: values[0] for name, values in parse_qs(url.query).items()}
        answer: Any = self._record.mails
        if url.path == "/wait":
            answer = await self._record.wait(int(words["mails"]), float(words["seconds"]))
        elif url.path == "/throttles":
            answer = self._record.throttles
        elif url.path == "/arrivals":
            answer = self._record.arrivals()
        elif url.path == "/forget":
            self._record.forget()
        self._write(response(json.dumps(answer).encode(), b"application/json"))


async def _serve(delay: float, record: bool, limit: Limit | None, port: int) -> None:
    """Serve until SIGTERM or SIGINT; print the port."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    calls = _Record(record)
    answers = Answers(calls, limit)
    server = await loop.create_server(lambda: _Connection(answers, calls, delay), "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


# In the process that measures


class Endpoint:
    """The endpoint, for the process that started it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._connection = HTTPConnection("127.0.0.1", port)

    def _ask(self, target: str, seconds: float = 0.0) -> Any:
        self._connection.timeout = seconds + _PATIENCE
        if self._connection.sock:
            self._connection.sock.settimeout(seconds + _PATIENCE)
        self._connection.request("GET", target)
        return json.loads(self._connection.getresponse().read())

    def mails(self) -> int:
        """Return how many mails have come."""
        return int(self._ask("/mails"))

    def throttles(self) -> int:
        """Return how many calls were throttled."""
        return int(self._ask("/throttles"))

    def has(self, mails: int, seconds: float) -> bool:
        """Wait until this many mails have come. Return whether they came in time."""
        return int(self._ask(f"/wait?mails={mails}&seconds={seconds}", seconds)) >= mails

    def wait(self, mails: int, seconds: float, check: Callable[[], None] = lambda: None) -> None:
        """Wait until this many mails have come.

        Raises TimeoutError, or an exception of `check`, which is called every second.
        """
        deadline = time.monotonic() + seconds
        while not self.has(mails, 1.0):
            check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.mails()} of {mails} mails came within {seconds} s")

    def arrivals(self) -> list[Arrival]:
        """Return all accepted calls, in order."""
        return [Arrival(at, mails, tuple(addresses)) for at, mails, addresses in self._ask("/arrivals", 60.0)]

    def forget(self) -> None:
        """Begin anew."""
        self._ask("/forget")

    def close(self) -> None:
        """Close the control connection."""
        self._connection.close()


@contextlib.contextmanager
def running_endpoint(delay: float, *, record: bool = False, limit: Limit | None = None) -> Iterator[Endpoint]:
    """Run an endpoint during the block. It answers after `delay` seconds. Without a limit it throttles nobody."""
    command = [sys.executable, "-m", "benchmarks.endpoint", "--delay-ms", str(delay * 1000)]
    command += ["--record"] if record else []
    command += ["--rate", str(limit.rate), "--bucket", str(limit.seconds)] if limit else []
    root = Path(__file__).parents[1]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        endpoint = Endpoint(int(process.stdout.readline()))
        with contextlib.closing(endpoint):
            yield endpoint
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    """Run an endpoint by hand."""
    parser = argparse.ArgumentParser(description="A local SES that takes every mail, or as many as --rate allows.")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="before each answer")
    parser.add_argument("--record", action="store_true", help="keep the addresses")
    parser.add_argument("--rate", type=float, metavar="R", help="recipients a second; without it nobody is throttled")
    parser.add_argument("--bucket", type=float, default=1.0, metavar="SECONDS", help="of the rate, at once (1)")
    parser.add_argument("--port", type=int, default=0, help="to listen on; without it a free one, which is printed")
    arguments = parser.parse_args()
    limit = Limit(arguments.rate, arguments.bucket) if arguments.rate else None
    uvloop.run(_serve(arguments.delay_ms / 1000, arguments.record, limit, arguments.port))


if __name__ == "__main__":
    main()
