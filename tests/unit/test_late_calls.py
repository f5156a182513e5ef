"""A call that comes too late is not made: its lease might end before its answer comes."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mailroom_sender.delivery import ses_delivery as delivery_module
from mailroom_sender.delivery.ses_delivery import SesDelivery
from mailroom_sender.input.action import SHIPPED, by_number
from mailroom_sender.input.line import decode_line
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.steps import BeginResult, Begun, LedgerAlone, Retry, Settlement
from mailroom_sender.output.rejected_rows import OutputFiles
from mailroom_sender.output.stdout import CallOutput
from mailroom_sender.ses.client import SesClient
from mailroom_sender.ses.request import Envelope, build
from mailroom_sender.ses.verdict import Accepted, NotAsked, Outcome
from tests.support.lines import activation
from tests.support.ses_endpoint import Endpoint

ENVELOPE = Envelope("a@b.example", "default", escape_html=True)


@pytest.fixture
def ses(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> SesClient:
    """A client of the local SES."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SES", endpoint.url)
    return SesClient(connections=1, connect_timeout=5.0, call_timeout=5.0)


def rows(count: int) -> list[Row]:
    lines = (activation(number) for number in range(count))
    return [row for line in lines for row in decode_line(line.encode(), by_number(SHIPPED)) if isinstance(row, Row)]


@pytest.mark.parametrize(
    ("seconds", "answer", "calls"),
    [(60.0, Accepted, 1), (-0.001, NotAsked, 0), (-60.0, NotAsked, 0)],
    ids=["in time", "just over", "long over"],
)
def test_call_is_not_made_after_its_time(
    ses: SesClient, endpoint: Endpoint, seconds: float, answer: type, calls: int
) -> None:
    """The clock is looked at when the request is signed and about to go: a process may have been stopped before."""
    sent = ses.send(build(rows(1), ENVELOPE), lambda: time.monotonic() + seconds)
    assert sent is not None
    assert isinstance(sent[0], answer)
    assert len(endpoint.calls) == calls


def test_call_that_may_not_be_made_is_none(ses: SesClient, endpoint: Endpoint) -> None:
    """Nor one of which nobody can say whether it may."""

    def unknown() -> float:
        raise RuntimeError

    assert ses.send(build(rows(1), ENVELOPE), lambda: None) is None
    assert ses.send(build(rows(1), ENVELOPE), unknown) is None
    assert endpoint.calls == []


class Begins(LedgerAlone):
    """Lets some rows be sent, until a time."""

    def __init__(self, setaside: OutputFiles, call_by: float, most: int) -> None:
        super().__init__(setaside)
        self._call_by = call_by
        self._most = most
        self.settled: list[Outcome] = []

    def begin_soon(self, rows: Sequence[Row], holder: str) -> Callable[[], BeginResult]:
        begun = [Begun(row, place, 1, holder, self._call_by) for place, row in enumerate(rows[: self._most])]
        return lambda: BeginResult(begun, [])

    def settle(self, settlements: Sequence[Settlement]) -> list[Retry]:
        self.settled += [one.verdict.outcome for one in settlements if one.verdict]
        return []


def deliver(ses: SesClient, ledger: Begins, folder: Path, batch: Sequence[Row]) -> Any:
    with (folder / "answers").open("w") as answers:
        return SesDelivery(ledger, ses, ENVELOPE, OutputFiles(folder), CallOutput(answers.fileno())).start(batch)()


@pytest.mark.parametrize("begun", [2, 1], ids=["all of them", "one of them"])
def test_batch_whose_time_is_over_is_tried_later(
    ses: SesClient, endpoint: Endpoint, tmp_path: Path, begun: int
) -> None:
    """Whether the call is built while the ledger is at its rows, or anew for those that may be sent."""
    ledger = Begins(OutputFiles(tmp_path), time.monotonic() - 1.0, begun)
    deliver(ses, ledger, tmp_path, rows(2))
    assert (endpoint.calls, ledger.settled) == ([], [Outcome.LATER] * begun)


def test_row_that_may_not_be_sent_is_left_out_of_the_call(ses: SesClient, endpoint: Endpoint, tmp_path: Path) -> None:
    """The call that was built for all is not made; one for those that may be sent is."""
    ledger = Begins(OutputFiles(tmp_path), float("inf"), 1)
    deliver(ses, ledger, tmp_path, rows(2))
    assert (endpoint.addresses, ledger.settled) == (["u0@example.com"], [Outcome.SENT])


def test_signature_that_is_old_is_made_anew(
    ses: SesClient, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SES refuses a request that was signed minutes ago; the rows go in one that is signed after their begin."""
    built: list[int] = []

    def counted(rows: Sequence[Row], envelope: Envelope) -> dict[str, Any]:
        built.append(len(rows))
        return build(rows, envelope)

    monkeypatch.setattr(delivery_module, "build", counted)
    ledger = Begins(OutputFiles(tmp_path), float("inf"), 2)
    deliver(ses, ledger, tmp_path, rows(2))
    monkeypatch.setattr(delivery_module, "_SIGNATURE_FRESH", -1.0)
    deliver(ses, ledger, tmp_path, rows(2))
    assert (built, len(endpoint.calls)) == ([2, 2, 2], 2)
    assert ledger.settled == [Outcome.SENT] * 4
