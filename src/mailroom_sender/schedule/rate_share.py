"""Divides the account's rate among the senders that have mails to send now. The database knows how many there are."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Final

from mailroom_runtime.errors import MailroomError
from mailroom_runtime.words import counted
from mailroom_sender.log import log
from mailroom_sender.schedule.pace import Pace

_EVERY: Final = 2.0  # seconds between questions
_FORGOTTEN: Final = 5.0
"""Seconds after which the others no longer count a sender that has not asked again (mailroom_share_rate)."""
_CAREFUL: Final = 2
"""The rate is divided by this number until the first answer, because another sender may be using all of it."""
_LOG_EVERY: Final = 60.0  # the least seconds between two lines about the number of senders


class RateShare:
    """One question at a time, in a worker, while rows wait for the rate. Times are monotonic seconds."""

    def __init__(self, ask: Callable[[float], int], pace: Pace) -> None:
        """`ask` gets the account's rate. It notes this sender, and returns how many there are. Raises MailroomError."""
        self._ask = ask
        self._pace = pace
        self._question: Future[int] | None = None
        self._asked_at = float("-inf")
        self._has_failed = False
        self._answer = 1
        self._logged = 1
        self._log_at = 0.0

    def poll(self, pool: Executor, now: float, on_finished: Callable[[], None], *, waits_for_pace: bool) -> None:
        """Ask if it is time, and use an answer that came. `on_finished` is called in any thread when one comes.

        A sender that does not need its whole share does not ask, so that the others may use it.
        """
        if not self._pace.is_known:
            return
        if self._question is not None and self._question.done():
            self._use(self._question, now)
            self._question = None
        if self._question is not None:
            return
        if now >= self._asked_at + _FORGOTTEN and not self._has_failed:
            self._pace.senders = max(_CAREFUL, self._pace.senders)
        if waits_for_pace and now >= self._asked_at + _EVERY:
            self._asked_at = now
            self._question = pool.submit(self._ask, self._pace.most)
            self._question.add_done_callback(lambda _: on_finished())

    def _use(self, question: Future[int], now: float) -> None:
        error = question.exception()
        if error is None:
            self._has_failed = False
            self._answer = self._pace.senders = max(1, question.result())
            self._log_change(now)
            return
        self._pace.senders = self._answer
        if not self._has_failed:
            self._has_failed = True
            # The text of another error may contain secrets.
            reason = str(error) if isinstance(error, MailroomError) else type(error).__name__
            log(
                f"the database does not say how many senders use the rate of SES: {reason}; until it does, this sender"
                f" divides the rate by {self._answer} as before",
                "warning",
                event="senders_unknown",
                reason=reason,
                senders=self._answer,
            )

    def _log_change(self, now: float) -> None:
        senders = self._pace.senders
        if senders == self._logged or now < self._log_at:
            return
        self._logged, self._log_at = senders, now + _LOG_EVERY
        rate = self._pace.whole_rate
        log(
            f"{_shares(senders)}: it sends to at most {rate:.1f} recipients a second",
            event="rate_divided",
            senders=senders,
            recipients_per_s=round(rate, 3),
        )


def _shares(senders: int) -> str:
    if senders == 1:
        return "this sender uses the whole rate of SES again"
    return f"this sender divides the rate of SES with {counted(senders - 1, 'other sender')}"
