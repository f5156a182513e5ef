"""SES is asked for the account's rate, and the log says it."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from mailroom_sender.schedule.pace import Pace
from mailroom_sender.schedule.quota import Quota


class AtOnce(Executor):
    """Answers a question as soon as it is asked."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        answered: Future[Any] = Future()
        answered.set_result(fn(*args, **kwargs))
        return answered


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (1.0, "SES takes 1 recipient a second"),
        (14.0, "SES takes 14 recipients a second"),
        (0.5, "SES takes 0.5 recipients a second"),
        (1_000_000.0, "SES takes 1,000,000 recipients a second"),
    ],
)
def test_rate_is_said_as_people_write_it(rate: float, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """One recipient is one, and a million has its zeros; the pace keeps to it."""
    pace = Pace()
    Quota(lambda: rate, pace).poll(AtOnce(), 0.0, lambda: None)
    assert pace.most == rate
    assert capfd.readouterr().err.endswith(f"[SES] {words}\n")
