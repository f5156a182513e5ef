"""Asks SES for the account's rate, at the start and every hour, and hands it to the pace."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Final

from mailroom_runtime.log import Level
from mailroom_runtime.words import counted
from mailroom_sender.log import log
from mailroom_sender.schedule.pace import Pace

_AGAIN: Final = 3600.0  # seconds between questions: people may raise the quota
_PATIENCE: Final = 5.0  # seconds for which the first calls wait for the answer


class Quota:
    """One question at a time, in a worker. Times are monotonic seconds."""

    def __init__(self, ask: Callable[[], float | str] | None, pace: Pace) -> None:
        """`ask` returns recipients a second, or why they are not known; None: there is nothing to ask."""
        self._ask = ask
        self._pace = pace
        self._asked: Future[float | str] | None = None
        self._told = ""
        self.ask_at = float("inf") if ask is None else 0.0
        self.held_until = 0.0
        """When calls may be made, though the first answer has not come."""

    def turn(self, pool: Executor, now: float, finished: Callable[[], None]) -> None:
        """Ask if it is time to, and learn what was answered. `finished` is called, in any thread, when it was."""
        if self._ask is not None and now >= self.ask_at:
            self.ask_at = now + _AGAIN
            if not self._told:
                self.held_until = now + _PATIENCE
            self._asked = pool.submit(self._ask)
            self._asked.add_done_callback(lambda _: finished())
        if self._asked is not None and self._asked.done():
            self._learn(self._asked.result())
            self._asked, self.held_until = None, 0.0

    def _learn(self, answer: float | str) -> None:
        level: Level = "info"
        if isinstance(answer, float):
            self._pace.most = answer
            told = f"SES takes {counted(answer, 'recipient')} a second"
        else:
            level = "warning"
            told = (
                f"SES does not tell its rate ({answer}), so calls are slowed down only when it throttles;"
                " allow ses:GetSendQuota, or set MAILROOM_SES_MAX_RATE"
            )
        if told != self._told:
            log(told, level)
        self._told = told
