"""The sender's loop in this process, with its real parts and a delivery that the test holds up."""

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

from mailroom_runtime.process.systemd import Notifier
from mailroom_runtime.process.watchdog import Watchdog
from mailroom_sender.delivery.ses_delivery import DeliveryResult
from mailroom_sender.input.action import SHIPPED, KnownActions
from mailroom_sender.input.row import Row
from mailroom_sender.input.stdin import LineInput
from mailroom_sender.input.unknown_actions import UnknownActions
from mailroom_sender.ledger.steps import Retry
from mailroom_sender.log import log
from mailroom_sender.output.rejected_rows import OutputFiles
from mailroom_sender.schedule.pace import Pace
from mailroom_sender.sender import Sender
from mailroom_sender.ses.verdict import Outcome, Verdict
from tests.support.lines import activation
from tests.support.waiting import until

MOST = 100  # rows that a sender with one call at once holds, besides those of the call
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class Delivery:
    """Notes its batches; each call ends when the test says so, and its rows are to be tried again in an hour."""

    def __init__(self) -> None:
        self.batches: list[list[Row]] = []
        self.ends = threading.Event()

    def start(self, batch: Sequence[Row]) -> Callable[[], DeliveryResult]:
        self.batches.append(list(batch))
        return partial(self._end, list(batch))

    def _end(self, batch: list[Row]) -> DeliveryResult:
        self.ends.wait(30)
        later = [Retry(row, 3600.0) for row in batch]
        return DeliveryResult(batch[0].action, [Verdict(Outcome.LATER, "not now")] * len(batch), later)

    def give_back(self, rows: Sequence[Row]) -> None:
        """Nothing holds them."""

    tell_at = float("inf")

    def tell(self, *, is_end: bool) -> None:
        """Nothing is counted."""


class Turns(Watchdog):
    """Counts the turns of the loop, and ends no process."""

    def __init__(self) -> None:
        super().__init__(60.0, Notifier({}), log)
        self.count = 0

    def __enter__(self) -> "Turns":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """No timer was started."""

    def turn(self) -> None:
        self.count += 1


class Loop:
    """A sender that reads a pipe, and asks for actions as long as the test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._reader, self._writer = os.pipe()
        self.delivery = Delivery()
        self.answers = threading.Event()
        self.asked = threading.Event()
        self.known = KnownActions()
        self._turns = Turns()
        self._sender = Sender(
            LineInput(self._reader), self.delivery, OutputFiles(folder), None, 1, Pace(), None,
            UnknownActions(self.known, self._ask), Notifier({}), self._turns,
        )  # fmt: skip
        self._failed: list[BaseException] = []

    def _ask(self) -> None:
        self.asked.set()
        self.answers.wait(30)
        rows = [(action.number, action.name, action.template, action.needs_code) for action in SHIPPED]
        self.known.learn([*rows, ("9", "invitation", "invitationv1", False)])

    def write(self, *lines: str) -> None:
        os.write(self._writer, "".join(f"{line}\n" for line in lines).encode())

    @property
    def unread(self) -> int:
        """Return the bytes that wait in the pipe."""
        waiting = array.array("i", [0])
        fcntl.ioctl(self._reader, termios.FIONREAD, waiting)
        return waiting[0]

    def turn(self) -> None:
        """Wake the loop, and wait until it has waited anew."""
        goal = self._turns.count + 2

        def has_turned() -> bool:
            os.kill(os.getpid(), signal.SIGUSR1)
            return self._turns.count >= goal

        until(has_turned, "the loop turns")

    def waits(self) -> bool:
        """Say whether the loop does not turn for a moment: it waits for something to come."""
        before = self._turns.count
        time.sleep(0.05)
        return self._turns.count == before

    def play(self, scene: Callable[[], None]) -> None:
        """Run the sender here, where signals arrive, and the scene beside it; then stop it."""
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

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    signal.signal(signal.SIGUSR1, lambda *_: None)
    loop = Loop(tmp_path / "output")
    yield loop
    loop.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def unknown(number: int) -> str:
    return activation(number).replace("1,", "9,", 1)


def fill_with_waiting(loop: Loop) -> None:
    """One call goes on, and the rows behind it wait."""
    loop.write(activation(0))
    until(lambda: loop.delivery.batches, "a call begins")
    loop.write(*(activation(n) for n in range(1, MOST + 1)))


def fill_with_later(loop: Loop) -> None:
    """SES takes none of them now."""
    loop.delivery.ends.set()
    loop.write(*(activation(n) for n in range(MOST)))


def fill_with_unknown(loop: Loop) -> None:
    """The database is asked for their action."""
    loop.write(*(unknown(n) for n in range(MOST)))


def owe(loop: Loop) -> None:
    """The disk does not take what is to be set aside."""
    loop.folder.rmdir()
    loop.write("no row")


@pytest.mark.parametrize("fill", [fill_with_waiting, fill_with_later, fill_with_unknown, owe])
def test_full_sender_reads_no_more(loop: Loop, fill: Callable[[Loop], None]) -> None:
    """Each kind of row that it holds fills it alone, and so does what it owes to the disk; the pipe then fills."""

    def scene() -> None:
        fill(loop)
        until(lambda: loop.unread == 0, "all is read that there is room for")
        loop.turn()
        loop.write(activation(1000))
        loop.turn()
        assert loop.unread > 0

    loop.play(scene)


def test_sender_reads_on_when_there_is_room(loop: Loop) -> None:
    """One row less than full is not full; and what waited in the pipe is read once the disk takes what is owed."""

    def scene() -> None:
        loop.delivery.ends.set()
        loop.write(*(activation(n) for n in range(MOST - 1)))
        until(lambda: loop.unread == 0, "they are read")
        owe(loop)
        until(lambda: loop.unread == 0, "it is read")
        loop.turn()
        loop.write(activation(1000))
        loop.folder.mkdir()
        until(lambda: loop.unread == 0, "the last one is read")

    loop.play(scene)


def test_sender_is_woken_when_actions_arrive(loop: Loop) -> None:
    """A row whose action was not known goes when the answer comes, though nothing else happens."""

    def scene() -> None:
        loop.write(unknown(1))
        until(loop.asked.is_set, "the database is asked")
        until(loop.waits, "it waits, and without an end")
        loop.answers.set()
        until(lambda: loop.delivery.batches, "the row goes", seconds=10)
        assert [row.action.name for row in loop.delivery.batches[0]] == ["invitation"]

    loop.play(scene)
