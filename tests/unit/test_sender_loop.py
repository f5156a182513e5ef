"""The sender's loop in this process, with its real parts and a fake clock."""

import array
import fcntl
import os
import signal
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType

import pytest

from mailroom_runtime.errors import MailroomError
from mailroom_runtime.process.systemd import Notifier
from mailroom_runtime.process.watchdog import Watchdog
from mailroom_sender.call_dispatcher import CallDispatcher
from mailroom_sender.delivery import protocol
from mailroom_sender.delivery.protocol import DeliveryResult
from mailroom_sender.input.action import SHIPPED, KnownActions
from mailroom_sender.input.row import Row
from mailroom_sender.input.stdin import LineInput
from mailroom_sender.input.unknown_actions import UnknownActions
from mailroom_sender.ledger.alone import LedgerAlone
from mailroom_sender.ledger.protocol import Retry
from mailroom_sender.log import log
from mailroom_sender.output.unsent_rows import UnsentRows
from mailroom_sender.row_reader import RowReader
from mailroom_sender.schedule.call_schedule import CallSchedule
from mailroom_sender.schedule.held_rows import HeldRows
from mailroom_sender.schedule.pace import Pace
from mailroom_sender.schedule.quota import Quota
from mailroom_sender.sender import Sender
from mailroom_sender.sender_status import SenderStatus
from mailroom_sender.ses.verdict import Outcome, Verdict
from tests.support.lines import activation
from tests.support.sender_parts import Clock, ses_client, ses_delivery
from tests.support.ses_endpoint import Endpoint, accepted
from tests.support.waiting import until

MOST = 100  # rows that a sender with one call at a time holds, besides those of the call
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class Delivery:
    """Notes its batches. Each call ends when the test says so, and its rows are retried in an hour."""

    def __init__(self) -> None:
        self.batches: list[list[Row]] = []
        self.given_back: list[list[Row]] = []
        self.ends = threading.Event()

    def start(self, batch: Sequence[Row]) -> Callable[[], DeliveryResult]:
        self.batches.append(list(batch))
        return partial(self._end, list(batch))

    def _end(self, batch: list[Row]) -> DeliveryResult:
        self.ends.wait(30)
        later = [Retry(row, 3600.0) for row in batch]
        return DeliveryResult(batch[0].action, [Verdict(Outcome.LATER, "not now")] * len(batch), later)

    gives_back = False

    def give_back(self, held: HeldRows) -> DeliveryResult:
        raise AssertionError(f"no calls are held here, and {len(held.rows)} rows are given back")

    def release(self, rows: Sequence[Row]) -> None:
        self.given_back.append(list(rows))

    log_at = float("inf")

    def log_counts(self, *, is_end: bool) -> None:
        """Nothing is counted."""


class Turns(Watchdog):
    """Counts the rounds of the loop, and ends no process."""

    def __init__(self) -> None:
        super().__init__(60.0, Notifier({}), log)
        self.count = 0

    def __enter__(self) -> "Turns":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """No timer was started."""

    def reset(self) -> None:
        self.count += 1


class Loop:
    """A sender that reads a pipe, and asks for actions for as long as the test wants."""

    def __init__(self, folder: Path, delivery: protocol.Delivery | None = None, clock: Clock | None = None) -> None:
        self.folder = folder
        self._reader, self._writer = os.pipe()
        self.delivery = Delivery()
        self.clock = clock or Clock()
        self.unsent = UnsentRows(folder)
        self.answers = threading.Event()
        self.asked = threading.Event()
        self.known = KnownActions()
        self._turns = Turns()
        pace = Pace()
        schedule = CallSchedule(pace, MOST)
        unknown = UnknownActions(self.known, self._ask)
        reader = RowReader(LineInput(self._reader), unknown, schedule, self.unsent, self.clock)
        calls = CallDispatcher(
            delivery or self.delivery, schedule, Quota(None, pace), self.unsent, concurrency=1, clock=self.clock
        )
        self._sender = Sender(reader, calls, None, SenderStatus(Notifier({}), self._turns), self.clock)
        self._is_ended = False
        self._failed: list[BaseException] = []

    def _ask(self) -> None:
        self.asked.set()
        self.answers.wait(30)
        rows = [(action.number, action.name, action.template, action.needs_code) for action in SHIPPED]
        self.known.replace([*rows, ("9", "invitation", "invitationv1", False)])

    def write(self, *lines: str) -> None:
        os.write(self._writer, "".join(f"{line}\n" for line in lines).encode())

    @property
    def unread(self) -> int:
        """Return the bytes that wait in the pipe."""
        waiting = array.array("i", [0])
        fcntl.ioctl(self._reader, termios.FIONREAD, waiting)
        return waiting[0]

    def turn(self) -> None:
        """Wake the loop, and wait until it waits again."""
        goal = self._turns.count + 2

        def has_turned() -> bool:
            os.kill(os.getpid(), signal.SIGUSR1)
            return self._turns.count >= goal

        until(has_turned, "the loop turns")

    def waits(self) -> bool:
        """Return whether the loop makes no round for a moment, because it waits for an event."""
        before = self._turns.count
        time.sleep(0.05)
        return self._turns.count == before

    def play(self, scene: Callable[[], None]) -> None:
        """Run the sender in this thread, which gets the signals, and the scene in another one. Then stop it."""
        thread = threading.Thread(target=self._play, args=(scene,))
        thread.start()
        self._sender.run()
        thread.join()
        if self._failed:
            raise self._failed[0]

    def _play(self, scene: Callable[[], None]) -> None:
        try:
            scene()
        except BaseException as error:
            self._failed.append(error)
        self.delivery.ends.set()
        self.answers.set()
        self.folder.mkdir(exist_ok=True)
        os.kill(os.getpid(), signal.SIGTERM)

    def run(self) -> None:
        self._sender.run()

    def end_input(self) -> None:
        os.close(self._writer)
        self._is_ended = True

    def close(self) -> None:
        os.close(self._reader)
        if not self._is_ended:
            os.close(self._writer)


@pytest.fixture
def signals() -> Iterator[None]:
    """Restore the signal handlers after the test."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    signal.signal(signal.SIGUSR1, lambda *_: None)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


@pytest.fixture
def loop(folder: Path, signals: None) -> Iterator[Loop]:  # noqa: ARG001
    loop = Loop(folder)
    yield loop
    loop.close()


@pytest.fixture
def real_loop(
    folder: Path,
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    signals: None,  # noqa: ARG001
) -> Iterator[Loop]:
    """A sender without a database, whose calls go to the local SES."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SES", endpoint.url)
    clock = Clock()
    with ses_delivery(LedgerAlone(UnsentRows(folder)), ses_client(clock=clock), folder, clock) as delivery:
        loop = Loop(folder, delivery, clock)
        yield loop
        loop.close()


def unknown(number: int) -> str:
    return activation(number).replace("1,", "9,", 1)


def fill_with_waiting(loop: Loop) -> None:
    """One call is in progress, and the rows behind it wait."""
    loop.write(activation(0))
    until(lambda: loop.delivery.batches, "a call begins")
    loop.write(*(activation(n) for n in range(1, MOST + 1)))


def fill_with_later(loop: Loop) -> None:
    """SES does not accept them now."""
    loop.delivery.ends.set()
    loop.write(*(activation(n) for n in range(MOST)))


def fill_with_unknown(loop: Loop) -> None:
    """The database is asked for their action."""
    loop.write(*(unknown(n) for n in range(MOST)))


def fill_the_disk(loop: Loop) -> None:
    """The disk accepts no rejected rows."""
    loop.folder.rmdir()
    loop.write("no row")


@pytest.mark.parametrize("fill", [fill_with_waiting, fill_with_later, fill_with_unknown, fill_the_disk])
def test_full_sender_stops_reading(loop: Loop, fill: Callable[[Loop], None]) -> None:
    """Each kind of row that it holds can fill it, and so can rows that the disk did not accept. The pipe then fills."""

    def scene() -> None:
        fill(loop)
        until(lambda: loop.unread == 0, "all is read that there is room for")
        loop.turn()
        loop.write(activation(1000))
        loop.turn()
        assert loop.unread > 0

    loop.play(scene)


def test_sender_reads_again_when_there_is_room(loop: Loop) -> None:
    """It reads at one row below the limit, and once the disk accepts the rejected rows."""

    def scene() -> None:
        loop.delivery.ends.set()
        loop.write(*(activation(n) for n in range(MOST - 1)))
        until(lambda: loop.unread == 0, "they are read")
        fill_the_disk(loop)
        until(lambda: loop.unread == 0, "it is read")
        loop.turn()
        loop.write(activation(1000))
        loop.folder.mkdir()
        until(lambda: loop.unread == 0, "the last one is read")

    loop.play(scene)


def test_sender_is_woken_when_actions_arrive(loop: Loop) -> None:
    """A row of an unknown action is sent when the answer comes, without any other event."""

    def scene() -> None:
        loop.write(unknown(1))
        until(loop.asked.is_set, "the database is asked")
        until(loop.waits, "it waits, and without an end")
        loop.answers.set()
        until(lambda: loop.delivery.batches, "the row goes", seconds=10)
        assert [row.action.name for row in loop.delivery.batches[0]] == ["invitation"]

    loop.play(scene)


def test_row_is_sent_and_the_next_one_too(real_loop: Loop, endpoint: Endpoint) -> None:
    """A line goes through the real parts: from the pipe to SES, and its answer to stdout."""

    def scene() -> None:
        real_loop.write(activation(1))
        until(lambda: len(endpoint.addresses) == 1, "it is mailed")
        real_loop.write(activation(2))
        until(lambda: len(endpoint.addresses) == 2, "the next one is mailed")

    real_loop.play(scene)
    assert endpoint.addresses == ["u1@example.com", "u2@example.com"]
    assert (real_loop.folder / "answers").read_text().count('"outcome":"sent"') == 2


def test_row_is_retried_at_its_time(real_loop: Loop, endpoint: Endpoint) -> None:
    """It is not retried earlier, and no other event is needed."""
    endpoint.replies.append(accepted([("TransientFailure", "busy")]))

    def scene() -> None:
        real_loop.write(activation(1))
        until(lambda: endpoint.calls, "it is tried")
        real_loop.turn()
        assert len(endpoint.calls) == 1
        real_loop.clock.advance(60)
        real_loop.turn()
        until(lambda: endpoint.addresses, "it is mailed")

    real_loop.play(scene)
    assert (len(endpoint.calls), real_loop.unsent.summary) == (2, "")


def test_stopped_sender_releases_waiting_rows(loop: Loop) -> None:
    """Rows that wait for a call or for their time go to the ledger, in groups of a call's size."""

    def scene() -> None:
        fill_with_waiting(loop)
        until(lambda: loop.unread == 0, "they are read")

    loop.play(scene)
    assert [len(batch) for batch in loop.delivery.given_back] == [50, 50, 1]


def test_end_of_the_input_with_a_rejected_line_is_an_error(loop: Loop) -> None:
    """Exit status 1 says that a part of the input was not sent. The log says where it is."""
    loop.write("no row")
    loop.end_input()
    with pytest.raises(MailroomError, match=r"not all of the input was sent: 1 row or line rejected: see .*jsonl"):
        loop.run()


def test_stopped_sender_releases_the_rest_of_a_line(loop: Loop) -> None:
    """A line may have more rows than fit. The rows that were not taken are not lost."""

    def scene() -> None:
        loop.write(activation(0))
        until(lambda: loop.delivery.batches, "a call begins")
        loop.write(",".join(activation(number) for number in range(1, 601)))
        until(lambda: loop.unread == 0, "the line is read")

    loop.play(scene)
    assert sum(len(batch) for batch in loop.delivery.given_back) == 601
