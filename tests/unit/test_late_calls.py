"""A late call is not made, because its lease might end before its answer comes."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from mailroom_sender.errors import Stopped
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.alone import LedgerAlone
from mailroom_sender.ledger.protocol import Retry, Settlement
from mailroom_sender.output.unsent_rows import UnsentRows
from mailroom_sender.ses.client import SesClient
from mailroom_sender.ses.permission import BeginResult, Begun, CallPermission
from mailroom_sender.ses.request import build
from mailroom_sender.ses.verdict import Accepted, NotAsked, Outcome
from tests.support.sender_parts import ENVELOPE, Clock, permission, rows, ses_client, ses_delivery
from tests.support.ses_endpoint import Endpoint


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ses(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> SesClient:
    """A client of the local SES."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SES", endpoint.url)
    return ses_client(clock=clock)


@pytest.mark.parametrize(
    ("seconds", "answer", "calls"),
    [(60.0, Accepted, 1), (-0.001, NotAsked, 0), (-60.0, NotAsked, 0)],
    ids=["in time", "just over", "long over"],
)
def test_call_is_not_made_after_its_time(
    ses: SesClient, endpoint: Endpoint, seconds: float, answer: type, calls: int
) -> None:
    """The clock is checked when the request is signed and ready, because the process may have been stopped before."""
    batch = rows(1)
    sent = ses.send(build(batch, ENVELOPE), batch, permission(*batch, until=time.monotonic() + seconds))
    assert sent is not None
    assert isinstance(sent.answer, answer)
    assert (sent.took is not None, len(endpoint.calls)) == (calls == 1, calls)


def test_forbidden_call_is_not_made(ses: SesClient, endpoint: Endpoint) -> None:
    """It is not made either if the permission is unknown."""

    def unknown() -> BeginResult:
        raise Stopped

    batch = rows(1, 2)
    for given in (permission(batch[0]), permission(), CallPermission(unknown)):
        assert ses.send(build(batch, ENVELOPE), batch, given) is None
    assert endpoint.calls == []


@pytest.mark.parametrize(("waited", "is_made"), [(29.0, True), (31.0, False)])
def test_signature_is_good_for_half_a_minute(
    ses: SesClient, endpoint: Endpoint, clock: Clock, waited: float, is_made: bool
) -> None:
    """SES refuses a request with an old signature. So one whose permission took that long is not made."""
    batch = rows(1)

    def slow() -> BeginResult:
        clock.advance(waited)
        return permission(*batch).wait()

    assert (ses.send(build(batch, ENVELOPE), batch, CallPermission(slow)) is not None) == is_made
    assert len(endpoint.calls) == is_made


class Begins(LedgerAlone):
    """Permits some rows until a time, after the clock moved forward."""

    def __init__(self, unsent: UnsentRows, call_by: float, most: int, clock: Clock, waits: float = 0.0) -> None:
        super().__init__(unsent)
        self._call_by = call_by
        self._most = most
        self._clock = clock
        self._waits = waits
        self.settled: list[Outcome] = []

    def begin_soon(self, rows: Sequence[Row], holder: str) -> CallPermission:
        begun = [Begun(row, place, 1, holder, self._call_by) for place, row in enumerate(rows[: self._most])]

        def answered() -> BeginResult:
            self._clock.advance(self._waits)
            return BeginResult(begun, [])

        return CallPermission(answered)

    def settle(self, settlements: Sequence[Settlement]) -> list[Retry]:
        self.settled += [one.verdict.outcome for one in settlements if one.verdict]
        return []


@pytest.mark.parametrize("begun", [2, 1], ids=["all of them", "one of them"])
def test_late_batch_is_tried_later(
    ses: SesClient, endpoint: Endpoint, tmp_path: Path, clock: Clock, begun: int
) -> None:
    """This is so for a call that is built during begin, and for one that is rebuilt for the permitted rows."""
    ledger = Begins(UnsentRows(tmp_path), time.monotonic() - 1.0, begun, clock)
    with ses_delivery(ledger, ses, tmp_path, clock) as delivery:
        delivery.start(rows(1, 2))()
    assert (endpoint.calls, ledger.settled) == ([], [Outcome.LATER] * begun)


def test_row_without_permission_is_left_out_of_the_call(
    ses: SesClient, endpoint: Endpoint, tmp_path: Path, clock: Clock
) -> None:
    """The call that was built for all rows is not made. One for the permitted rows is."""
    ledger = Begins(UnsentRows(tmp_path), float("inf"), 1, clock)
    with ses_delivery(ledger, ses, tmp_path, clock) as delivery:
        delivery.start(rows(1, 2))()
    assert (endpoint.addresses, ledger.settled) == (["u1@example.com"], [Outcome.SENT])


@pytest.mark.parametrize("waited", [0.0, 60.0], ids=["signed just now", "signed a minute ago"])
def test_old_signature_is_renewed(
    ses: SesClient, endpoint: Endpoint, tmp_path: Path, clock: Clock, waited: float
) -> None:
    """The request is signed after begin. Each row is sent once."""
    ledger = Begins(UnsentRows(tmp_path), float("inf"), 2, clock, waits=waited)
    with ses_delivery(ledger, ses, tmp_path, clock) as delivery:
        result = delivery.start(rows(1, 2))()
    assert (endpoint.addresses, len(endpoint.calls)) == (["u1@example.com", "u2@example.com"], 1)
    assert (ledger.settled, len(result.took)) == ([Outcome.SENT] * 2, 1)
