"""SES is asked for the account's rate, and the log says it."""

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from mailroom_sender.schedule.pace import Pace
from mailroom_sender.schedule.quota import Quota
from tests.support.sender_parts import ses_client
from tests.support.ses_endpoint import Endpoint
from tests.support.waiting import until


class AtOnce(Executor):
    """Answers a question at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        answered: Future[Any] = Future()
        answered.set_result(fn(*args, **kwargs))
        return answered


class Questions(Executor):
    """A question that the test answers."""

    def __init__(self) -> None:
        self.future: Future[Any] = Future()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ARG002
        self.future = Future()
        return self.future


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (1.0, "SES allows 1 recipient a second"),
        (14.0, "SES allows 14 recipients a second"),
        (0.5, "SES allows 0.5 recipients a second"),
        (1_000_000.0, "SES allows 1,000,000 recipients a second"),
    ],
)
def test_rate_is_written_as_people_write_it(rate: float, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """One recipient is singular, and a million has its zeros. The pace uses the rate."""
    pace = Pace()
    Quota(lambda: rate, pace).poll(AtOnce(), 0.0, lambda: None)
    assert pace.most == rate
    assert capfd.readouterr().err.endswith(f"[SES] {words}\n")


def asked(quota: Quota, now: float) -> None:
    """Poll at a time, and again when an answer has come."""
    ended: list[bool] = []
    with ThreadPoolExecutor(1) as pool:
        before = quota.ask_at
        quota.poll(pool, now, lambda: ended.append(True))
        until(lambda: ended or quota.ask_at == before, "SES has answered")
        quota.poll(pool, now, lambda: None)


def test_rate_of_the_account_is_asked_for_at_the_start_and_every_hour(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A real endpoint answers. A higher quota counts from then on, and an unchanged one is not logged again."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SES", endpoint.url)
    pace = Pace()
    quota = Quota(ses_client().max_send_rate, pace)
    assert quota.ask_at <= 1000.0
    asked(quota, 1000.0)  # not permitted
    assert (pace.most, quota.held_until, quota.ask_at) == (float("inf"), 0.0, 4600.0)
    endpoint.max_send_rate = "14"
    asked(quota, 4599.0)
    assert pace.most == float("inf")
    asked(quota, 4600.0)
    asked(quota, 8200.0)
    assert pace.most == 14.0
    assert [line.partition("] ")[2].partition(":")[0] for line in capfd.readouterr().err.splitlines()] == [
        "the rate of SES can't be read (AccessDenied), so calls slow down only when SES throttles; allow ses",
        "SES allows 14 recipients a second",
    ]


def test_first_calls_wait_for_the_first_answer_5_s_at_most() -> None:
    """Later questions delay nothing."""
    quota, questions = Quota(lambda: 14.0, Pace()), Questions()
    quota.poll(questions, 100.0, lambda: None)
    assert quota.held_until == 105.0
    questions.future.set_result(14.0)
    quota.poll(questions, 101.0, lambda: None)
    assert quota.held_until == 0.0
    quota.poll(questions, 4000.0, lambda: None)
    assert quota.held_until == 0.0


def test_without_a_question_the_configured_rate_stays() -> None:
    """MAILROOM_SES_MAX_RATE has this effect."""
    quota = Quota(None, Pace(7.0))
    assert (quota.ask_at, quota.held_until) == (float("inf"), 0.0)
