"""The account's rate is divided among the senders that have mails to send. The test answers the questions."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from mailroom_runtime.errors import Unavailable
from mailroom_sender.schedule.pace import Pace
from mailroom_sender.schedule.rate_share import RateShare


class Questions(Executor):
    """Keeps the questions until the test answers them."""

    def __init__(self) -> None:
        self.asked: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ARG002
        self.asked.append(Future())
        return self.asked[-1]


class Sender:
    """A share, and the pace that it sets."""

    def __init__(self, rate: float = 14.0) -> None:
        self.pace = Pace(rate)
        self.questions = Questions()
        self.woken = 0
        self._share = RateShare(lambda _: 1, self.pace)

    def poll(self, now: float, *, waits: bool = True) -> int:
        """Poll; return by how much the rate is divided then."""
        self._share.poll(self.questions, now, self._wake, waits_for_pace=waits)
        return self.pace.senders

    def _wake(self) -> None:
        self.woken += 1

    def answer(self, senders: int) -> None:
        self.questions.asked[-1].set_result(senders)


def test_sender_that_becomes_busy_asks_at_once_and_is_careful_until_the_answer() -> None:
    """Another sender may be using all of the rate. The answer wakes the loop."""
    sender = Sender()
    assert (sender.poll(100.0), len(sender.questions.asked)) == (2, 1)
    assert (sender.poll(100.5), len(sender.questions.asked)) == (2, 1)
    sender.answer(1)
    assert (sender.woken, sender.poll(100.6)) == (1, 1)


def test_busy_sender_asks_every_two_seconds() -> None:
    """Others begin and end meanwhile."""
    sender = Sender()
    for at, senders in ((100.0, 3), (102.0, 2), (104.0, 1)):
        sender.poll(at)
        sender.answer(senders)
        assert sender.poll(at + 1.9) == senders
    assert len(sender.questions.asked) == 3


def test_sender_without_need_asks_nothing_and_is_careful_after_a_while() -> None:
    """So it takes no share of the rate. After 5 s nobody counts it any more."""
    sender = Sender()
    assert (sender.poll(100.0, waits=False), sender.questions.asked) == (2, [])
    sender.poll(100.0)
    sender.answer(1)
    assert [sender.poll(at, waits=False) for at in (103.0, 104.9, 105.0)] == [1, 1, 2]
    assert len(sender.questions.asked) == 1


def test_unknown_rate_is_not_divided() -> None:
    """There is nothing to divide."""
    sender = Sender(float("inf"))
    assert (sender.poll(100.0), sender.questions.asked) == (1, [])


@pytest.mark.parametrize("before", [1, 3])
@pytest.mark.parametrize(
    ("error", "said"), [(Unavailable("no connection"), "no connection"), (KeyError("secret"), "KeyError")]
)
def test_failing_question_changes_nothing(
    before: int, error: Exception, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The log says it once. The next answer counts again."""
    sender = Sender()
    sender.poll(100.0)
    sender.answer(before)
    sender.poll(100.1)
    for at in (110.0, 120.0):
        sender.poll(at)
        sender.questions.asked[-1].set_exception(error)
        assert sender.poll(at + 0.1) == before
    assert sender.poll(130.0) == before
    sender.answer(2)
    assert sender.poll(130.1) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if "does not say" in line]
    assert len(lines) == 1
    assert f"use the rate of SES: {said}; until it does, this sender divides the rate by {before} as before" in lines[0]


def test_change_is_logged_once_a_minute(capfd: pytest.CaptureFixture[str]) -> None:
    """One sender alone is nothing to log."""
    sender, at = Sender(), 100.0
    for senders in (1, 2, 2, 1, 2, 1):
        sender.poll(at)
        sender.answer(senders)
        sender.poll(at + 0.1)
        at += 20.0
    assert [line.partition("] ")[2] for line in capfd.readouterr().err.splitlines()] == [
        "this sender divides the rate of SES with 1 other sender: it sends to at most 6.9 recipients a second",
        "this sender uses the whole rate of SES again: it sends to at most 13.7 recipients a second",
    ]
