"""Real parts of a sender, combined as a test needs them."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mailroom_sender.delivery.ses_calls import SesCalls
from mailroom_sender.delivery.ses_delivery import SesDelivery
from mailroom_sender.input.action import SHIPPED, by_number
from mailroom_sender.input.line import decode_line
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.database import ACKNOWLEDGE
from mailroom_sender.ledger.not_sent_log import not_sent_log
from mailroom_sender.ledger.protocol import SenderLedger
from mailroom_sender.ledger.session import DatabaseSession
from mailroom_sender.ledger.shared_connection import SharedConnection
from mailroom_sender.output.responses import ResponseFiles
from mailroom_sender.output.stdout import CallOutput
from mailroom_sender.ses.client import SesClient
from mailroom_sender.ses.permission import BeginResult, Begun, CallPermission
from mailroom_sender.ses.request import Envelope
from tests.support.lines import activation

ENVELOPE = Envelope("a@b.example", "default", escape_html=True)
ACKNOWLEDGES = (ACKNOWLEDGE, ("mailroom",))
PIDS = ("SELECT pg_backend_pid()", ())


class Clock:
    """A monotonic clock that a test can move forward."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


def rows(*numbers: int) -> list[Row]:
    """Return rows as the sender reads them."""
    known = by_number(SHIPPED)
    lines = [activation(number).encode() for number in numbers]
    return [row for line in lines for row in decode_line(line, known) if isinstance(row, Row)]


def permission(*allowed: Row, until: float = float("inf")) -> CallPermission:
    """Return a permission to send these rows."""
    begun = [Begun(row, place, 1, "me", until) for place, row in enumerate(allowed, 1)]
    return CallPermission(lambda: BeginResult(begun, []))


def ses_client(**settings: Any) -> SesClient:
    """Return a client of the endpoint that the environment names."""
    return SesClient(**({"connections": 2, "connect_timeout": 5.0, "call_timeout": 5.0} | settings))


@contextlib.contextmanager
def ses_delivery(
    ledger: SenderLedger, ses: SesClient, folder: Path, clock: Clock | None = None
) -> Iterator[SesDelivery]:
    """Return a delivery that writes its answers to the file `answers` in the folder."""
    with (folder / "answers").open("a") as answers:
        calls = SesCalls(ses, ENVELOPE, ResponseFiles(folder), CallOutput(answers.fileno()))
        yield SesDelivery(ledger, calls, not_sent_log(), clock or Clock())


def shared_connection(url: str, first_statement: tuple[str, tuple[Any, ...]] = ACKNOWLEDGES) -> SharedConnection:
    """Return a connection that is not open yet."""
    return SharedConnection(DatabaseSession(url, first_statement, answer_timeout=30.0))
