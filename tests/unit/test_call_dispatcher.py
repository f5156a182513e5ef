"""From rows to calls to results, with the real parts, the local SES and a fake clock. The test polls."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from mailroom_sender.call_dispatcher import CallDispatcher
from mailroom_sender.delivery.preview import Preview
from mailroom_sender.delivery.protocol import Delivery, DeliveryResult
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.alone import LedgerAlone
from mailroom_sender.ledger.protocol import Retry
from mailroom_sender.output.stdout import CallOutput
from mailroom_sender.output.unsent_rows import UnsentRows
from mailroom_sender.schedule.call_schedule import CallSchedule
from mailroom_sender.schedule.held_rows import HeldRows
from mailroom_sender.schedule.pace import Pace
from mailroom_sender.schedule.quota import Quota
from mailroom_sender.ses import holds
from mailroom_sender.ses.verdict import Outcome, Verdict
from tests.support.sender_parts import ENVELOPE, Clock, rows, ses_client, ses_delivery
from tests.support.ses_endpoint import Endpoint, accepted, refused
from tests.support.waiting import until


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


class Calls:
    """A dispatcher with its own schedule."""

    def __init__(
        self, delivery: Delivery, unsent: UnsentRows, pool: Executor, clock: Clock, *, gives_back: bool = False
    ) -> None:
        pace = Pace()
        self.unsent = unsent
        self.schedule = CallSchedule(pace, gives_back=gives_back)
        self.clock = clock
        self.dispatcher = CallDispatcher(delivery, self.schedule, Quota(None, pace), unsent, 1, clock)
        self._pool = pool

    def send(self, *batch: Row) -> None:
        """Make the calls that are allowed now for these rows, and take their results."""
        for row in batch:
            self.schedule.put(row, self.clock())
        ended: list[bool] = []
        self.dispatcher.dispatch(self._pool, lambda: ended.append(True))
        until(lambda: ended or not self.dispatcher.is_busy, "the call ends")
        self.dispatcher.take_results()


@pytest.fixture
def calls(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pool: Executor) -> Iterator[Calls]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SES", endpoint.url)
    clock, unsent = Clock(), UnsentRows(tmp_path)
    with ses_delivery(LedgerAlone(unsent), ses_client(clock=clock), tmp_path, clock) as delivery:
        yield Calls(delivery, unsent, pool, clock)


def test_rows_are_mailed_in_one_call_and_counted(calls: Calls, endpoint: Endpoint) -> None:
    """Then nothing is due until the summary."""
    calls.send(*rows(1, 2))
    assert [call.addresses for call in endpoint.calls] == [["u1@example.com", "u2@example.com"]]
    assert (calls.dispatcher.summary.sent, len(calls.schedule), calls.dispatcher.is_busy) == (2, 0, False)
    assert calls.dispatcher.deadline(calls.clock()) == calls.dispatcher.summary.due_at


def test_row_that_is_not_accepted_is_scheduled_again(calls: Calls, endpoint: Endpoint) -> None:
    """The loop learns the time of the next try."""
    endpoint.replies.append(accepted([("TransientFailure", "busy")]))
    calls.send(*rows(1))
    assert 0.4 < calls.dispatcher.deadline(calls.clock()) - calls.clock() <= 1
    calls.send()
    assert len(endpoint.calls) == 1
    calls.clock.advance(1.0)
    calls.send()
    assert endpoint.addresses == ["u1@example.com"]


def test_held_calls_continue_with_the_probe(
    calls: Calls, endpoint: Endpoint, capfd: pytest.CaptureFixture[str]
) -> None:
    """While the account is held there is one call every 15 s."""
    endpoint.replies.append(refused("AccountSendingPausedException", "paused"))
    calls.send(*rows(1))
    assert calls.schedule.is_held
    calls.clock.advance(10.0)
    calls.send()
    assert len(endpoint.calls) == 1
    calls.clock.advance(5.0)
    calls.send()
    assert (endpoint.addresses, calls.schedule.is_held) == (["u1@example.com"], False)
    said = capfd.readouterr().err
    assert said.index("all calls wait, probing every 15 s") < said.index(
        "calls are made again; they waited for: Account"
    )


def test_throttling_lowers_the_rate(calls: Calls, endpoint: Endpoint, capfd: pytest.CaptureFixture[str]) -> None:
    """It becomes half of the rate of the last second, or of a guess. The log says the new rate."""
    endpoint.replies.append(refused("Throttling", "Maximum sending rate exceeded."))
    calls.send(*rows(1))
    assert calls.schedule.pace.rate(calls.clock()) == pytest.approx(25.0, rel=0.1)
    assert "lowering the rate to 25.0 recipients a second" in capfd.readouterr().err


def test_stopped_dispatcher_begins_no_call(calls: Calls, endpoint: Endpoint) -> None:
    """Its rows stay in the schedule."""
    calls.dispatcher.stop()
    calls.send(*rows(1))
    assert (endpoint.calls, len(calls.schedule)) == ([], 1)


class Faulty(Preview):
    """A bug of mailroom."""

    def start(self, batch: Sequence[Row]) -> Callable[[], DeliveryResult]:
        def fail() -> DeliveryResult:
            raise KeyError(batch[0].secret)

        return fail


def test_bug_keeps_the_rows_and_logs_no_secret(
    tmp_path: Path, pool: Executor, capfd: pytest.CaptureFixture[str]
) -> None:
    """The outcome of the rows is unknown, and the error's text may contain a secret."""
    unsent = UnsentRows(tmp_path)
    faulty = Faulty(ENVELOPE, unsent, CallOutput(1), as_text=False)
    calls = Calls(faulty, unsent, pool, Clock())
    (row,) = rows(1)
    calls.send(row)
    (file,) = tmp_path.glob("replay_*.csv")
    assert file.read_bytes() == row.raw + b"\n"
    said = capfd.readouterr().err
    assert "a batch of 1 row failed because of a bug in mailroom: KeyError; please report it" in said
    assert row.secret not in said


class Ledger(Preview):
    """A delivery that gives held rows back. The first row of each time is locked."""

    gives_back = True

    def __init__(self, unsent: UnsentRows) -> None:
        super().__init__(ENVELOPE, unsent, CallOutput(1), as_text=False)
        self.given_back: list[list[Row]] = []
        self.is_faulty = False

    def start(self, batch: Sequence[Row]) -> Callable[[], DeliveryResult]:
        held = Verdict(Outcome.HOLD, "no template", hold=holds.TEMPLATE)
        return lambda: DeliveryResult(batch[0].action, [held] * len(batch))

    def give_back(self, held: HeldRows) -> DeliveryResult:
        if self.is_faulty:
            raise KeyError(held.rows[0].secret)
        self.given_back.append(held.rows)
        return DeliveryResult(held.rows[0].action, again=[Retry(held.rows[0], 0.25)])


@pytest.mark.parametrize("is_faulty", [False, True], ids=["locked row", "bug"])
def test_held_rows_are_given_back_besides_the_calls(tmp_path: Path, pool: Executor, is_faulty: bool) -> None:
    """One stays for the probe. A row that is locked waits and is given back again. After a bug no row is lost."""
    unsent = UnsentRows(tmp_path)
    ledger = Ledger(unsent)
    calls = Calls(ledger, unsent, pool, Clock(), gives_back=True)
    calls.send(*rows(*range(50)))
    ledger.is_faulty = is_faulty
    calls.send(*rows(*range(50, 60)))
    assert (calls.schedule.held_count, calls.dispatcher.is_busy) == (1 if is_faulty else 2, False)
    assert [len(given) for given in ledger.given_back] == ([] if is_faulty else [9])
    kept = "".join(file.read_text() for file in tmp_path.glob("replay_*")).splitlines()
    assert len(kept) == (9 if is_faulty else 0)


def test_stopped_dispatcher_gives_nothing_back(tmp_path: Path, pool: Executor) -> None:
    """All rows are released at the end."""
    unsent = UnsentRows(tmp_path)
    ledger = Ledger(unsent)
    calls = Calls(ledger, unsent, pool, Clock(), gives_back=True)
    calls.send(*rows(1))
    calls.dispatcher.stop()
    calls.send(*rows(2, 3))
    assert (len(calls.schedule), ledger.given_back) == (2, [])
