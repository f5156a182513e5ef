"""Asks SES for the account's rate at the start and every hour, and passes it to the pace."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Final

from mailroom_runtime.words import counted
from mailroom_sender.log import log
from mailroom_sender.schedule.pace import Pace

_AGAIN: Final = 3600.0  # seconds between questions, because the quota may change
_TIMEOUT: Final = 5.0  # seconds for which the first calls wait for the answer


class Quota:
    """One question at a time, in a worker. Times are monotonic seconds."""

    def __init__(self, ask: Callable[[], float | str] | None, pace: Pace) -> None:
        """`ask` returns recipients a second, or the reason why they are not known. None: don't ask."""
        self._ask = ask
        self._pace = pace
        self._question: Future[float | str] | None = None
        self._answer: float | str | None = None
        self.ask_at = float("inf") if ask is None else 0.0
        self.held_until = 0.0
        """When calls may be made even if the first answer has not come."""

    def poll(self, pool: Executor, now: float, on_finished: Callable[[], None]) -> None:
        """Ask if it is time, and use an answer that came. `on_finished` is called in any thread when one comes."""
        if self._ask is not None and now >= self.ask_at:
            self.ask_at = now + _AGAIN
            if self._answer is None:
                self.held_until = now + _TIMEOUT
            self._question = pool.submit(self._ask)
            self._question.add_done_callback(lambda _: on_finished())
        if self._question is not None and self._question.done():
            self._use(self._question.result())
            self._question, self.held_until = None, 0.0

    def _use(self, answer: float | str) -> None:
        if isinstance(answer, float):
            self._pace.most = answer
        if answer != self._answer:
            _log(answer)
        self._answer = answer


def _log(answer: float | str) -> None:
    if isinstance(answer, float):
        text = f"SES allows {counted(answer, 'recipient')} a second"
        log(text, event="rate_known", recipients_per_s=answer)
        return
    log(
        f"the rate of SES can't be read ({answer}), so calls slow down only when SES throttles; allow ses:GetSendQuota,"
        " or set MAILROOM_SES_MAX_RATE",
        "warning",
        event="rate_unknown",
        reason=answer,
    )
