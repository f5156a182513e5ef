"""A call that comes too late is not made: its lease might end before its answer comes."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mailroom_sender.errors import Stopped
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.alone import LedgerAlone
from mailroom_sender.ledger.pending_begin import PendingBegin
from mailroom_sender.ledger.protocol import Retry, Settlement
from mailroom_sender.ledger.shared_connection import Rows
from mailroom_sender.output.unsent_rows import UnsentRows
from mailroom_sender.permission import BeginResult, Begun, CallPermission
from mailroom_sender.ses.client import SesClient
from mailroom_sender.ses.request import build
from mailroom_sender.ses.verdict import Accepted, NotAsked, Outcome
from tests.support.sender_parts import ENVELOPE, Clock, permission, rows, ses_client, ses_delivery
from tests.support.ses_endpoint import Endpoint

LEASE = 30.0  # seconds


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


# The permission


def test_permission_is_waited_for_once() -> None:
    """Whoever asks again gets the same answer."""
    (one,) = rows(1)
    answers = iter([BeginResult([Begun(one, 7, 1, call_by=5.0)], [])])
    asked = CallPermission(lambda: next(answers))
    assert asked.wait() is asked.wait()
    assert asked.allowed_until([one]) == 5.0


def test_permission_is_for_exactly_the_rows_that_are_begun() -> None:
    """A row that is not begun, a copy of one that is, another order: such a call would mail what nobody may mail."""
    one, other, third = rows(1, 2, 3)
    (copy,) = rows(1)
    begun = [Begun(one, 1, 1, call_by=9.0), Begun(other, 2, 1, call_by=4.0)]
    allowed = CallPermission(lambda: BeginResult(begun, [third]))
    assert copy == one
    assert allowed.allowed_until([one, other]) == 4.0
    assert allowed.allowed_until([one]) == 9.0  # the other one may turn out to be unfit
    for refused in ([one, other, third], [third], [one, copy], [copy, one], [copy], [other, one], []):
        assert allowed.allowed_until(refused) is None


def test_permission_that_the_ledger_can_not_give_raises_each_time() -> None:
    """A sender that is to stop hears of it wherever it asks."""

    def stopped() -> BeginResult:
        raise Stopped

    asked = CallPermission(stopped)
    for _ in range(2):
        with pytest.raises(Stopped):
            asked.allowed_until(rows(1))


class SlowDatabase:
    """Answers begin after so many seconds of a fake clock, the next time after the next number."""

    def __init__(self, *seconds: float) -> None:
        self.now = 1000.0
        self.asked_at: list[float] = []
        self._seconds = iter(seconds)

    def begin(self) -> PendingBegin:
        return PendingBegin(self._ask, self._read, LEASE, lambda: self.now)

    def _ask(self) -> Callable[[], Rows]:
        self.asked_at.append(self.now)
        return self._answer

    def _answer(self) -> Rows:
        self.now += next(self._seconds)
        return [(len(self.asked_at),)]

    def _read(self, answer: Rows, call_by: float) -> BeginResult:
        return BeginResult([Begun(rows(1)[0], answer[0][0], 1, call_by=call_by)], [])


@pytest.mark.parametrize(
    ("seconds", "asked"), [((7.4,), 1), ((7.5, 1.0), 2), ((600.0, 8.0, 0.0), 3)], ids=["in time", "just over", "twice"]
)
def test_answer_of_begin_that_took_a_quarter_of_the_lease_is_asked_for_again(
    seconds: Sequence[float], asked: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """The permission counts from the question to which the answer came; the log says each time that it came late."""
    database = SlowDatabase(*seconds)
    (begun,) = database.begin().result().begun
    assert (len(database.asked_at), begun.token) == (asked, asked)
    assert begun.call_by == database.asked_at[-1] + LEASE / 4
    assert capfd.readouterr().err.count("too long for a lease of 30000 ms; asking it again") == asked - 1


def test_begin_is_sent_before_somebody_waits_for_it() -> None:
    """The database works while the call is built."""
    database = SlowDatabase(0.0)
    database.begin()
    assert database.asked_at == [1000.0]


# The call


@pytest.mark.parametrize(
    ("seconds", "answer", "calls"),
    [(60.0, Accepted, 1), (-0.001, NotAsked, 0), (-60.0, NotAsked, 0)],
    ids=["in time", "just over", "long over"],
)
def test_call_is_not_made_after_its_time(
    ses: SesClient, endpoint: Endpoint, seconds: float, answer: type, calls: int
) -> None:
    """The clock is looked at when the request is signed and about to go: a process may have been stopped before."""
    batch = rows(1)
    sent = ses.send(build(batch, ENVELOPE), batch, permission(*batch, until=time.monotonic() + seconds))
    assert sent is not None
    assert isinstance(sent.answer, answer)
    assert (sent.took is not None, len(endpoint.calls)) == (calls == 1, calls)


def test_call_that_may_not_be_made_is_none(ses: SesClient, endpoint: Endpoint) -> None:
    """Nor one of which nobody can say whether it may."""

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
    """SES refuses a request that was signed minutes ago, so one whose permission took that long is not made."""
    batch = rows(1)

    def slow() -> BeginResult:
        clock.advance(waited)
        return permission(*batch).wait()

    assert (ses.send(build(batch, ENVELOPE), batch, CallPermission(slow)) is not None) == is_made
    assert len(endpoint.calls) == is_made


# The delivery


class Begins(LedgerAlone):
    """Lets some rows be sent, until a time, after the clock went forward."""

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
def test_batch_whose_time_is_over_is_tried_later(
    ses: SesClient, endpoint: Endpoint, tmp_path: Path, clock: Clock, begun: int
) -> None:
    """Whether the call is built while the ledger is at its rows, or anew for those that may be sent."""
    ledger = Begins(UnsentRows(tmp_path), time.monotonic() - 1.0, begun, clock)
    with ses_delivery(ledger, ses, tmp_path, clock) as delivery:
        delivery.start(rows(1, 2))()
    assert (endpoint.calls, ledger.settled) == ([], [Outcome.LATER] * begun)


def test_row_that_may_not_be_sent_is_left_out_of_the_call(
    ses: SesClient, endpoint: Endpoint, tmp_path: Path, clock: Clock
) -> None:
    """The call that was built for all is not made; one for those that may be sent is."""
    ledger = Begins(UnsentRows(tmp_path), float("inf"), 1, clock)
    with ses_delivery(ledger, ses, tmp_path, clock) as delivery:
        delivery.start(rows(1, 2))()
    assert (endpoint.addresses, ledger.settled) == (["u1@example.com"], [Outcome.SENT])


@pytest.mark.parametrize("waited", [0.0, 60.0], ids=["signed just now", "signed a minute ago"])
def test_signature_that_is_old_is_made_anew(
    ses: SesClient, endpoint: Endpoint, tmp_path: Path, clock: Clock, waited: float
) -> None:
    """The rows go in a request that is signed after their begin; each of them once."""
    ledger = Begins(UnsentRows(tmp_path), float("inf"), 2, clock, waits=waited)
    with ses_delivery(ledger, ses, tmp_path, clock) as delivery:
        result = delivery.start(rows(1, 2))()
    assert (endpoint.addresses, len(endpoint.calls)) == (["u1@example.com", "u2@example.com"], 1)
    assert (ledger.settled, len(result.took)) == ([Outcome.SENT] * 2, 1)
