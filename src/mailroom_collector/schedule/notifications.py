"""Receives notifications, polls fast when many come, and tests whether they arrive."""

import random
import time
from collections.abc import Callable, Iterable
from typing import Final, assert_never

from mailroom_collector.ledger.steps import CollectorLedger
from mailroom_collector.log import log
from mailroom_collector.schedule.fast_polling import FastPolling, PollingStep
from mailroom_collector.schedule.listen_check import ListenCheck
from mailroom_runtime.errors import MailroomError

TEST_TIMEOUT: Final = 2.0
"""The largest number of seconds for a test. The loop waits for it, and must extend leases in time."""

Notify = Callable[[Iterable[tuple[str, str]]], None]
"""Notifies channels, each with a payload, from another session. Raises MailroomError."""


class Notifications:
    """The notifications of new rows, and whether they arrive. Times are monotonic seconds."""

    def __init__(
        self,
        check: ListenCheck,
        notify: Notify,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._check = check
        self._notify = notify
        self._clock = clock
        self._chance = chance
        self._fast_polling = FastPolling()

    @property
    def are_missing(self) -> bool:
        """Return whether notifications don't arrive."""
        return self._check.is_missing

    @property
    def are_skipped(self) -> bool:
        """Return whether inserts skip NOTIFY, as this collector polls every few ms."""
        return self._fast_polling.is_polling

    def connected(self) -> None:
        """Begin with a new connection that listens."""
        now = self._clock()
        self._check.connected(now)
        self._fast_polling.connected(now)

    def disconnected(self) -> None:
        """Wait for nothing, as nothing listens."""
        self._check.disconnected()
        self._fast_polling.disconnected()

    def handle(self, ledger: CollectorLedger, now: float, *, is_busy: bool) -> bool:
        """Do what is due; return whether there is a reason to poll the ledger. Raises like the ledger."""
        announcements = self._take(ledger, now)
        is_poll_due = self._poll_fast(ledger, now)
        self._test(now, is_busy=is_busy)
        return is_poll_due or announcements > 0

    def found_rows(self) -> None:
        """Note that there were new rows."""
        self._fast_polling.found_rows(self._clock())

    def polled(self, *, another_polls_fast: bool) -> None:
        """Note what the ledger said: whether another collector polls fast."""
        self._fast_polling.polled(self._clock(), another_polls=another_polls_fast)

    def deadline(self) -> float:
        """Return when there is next something to do, unless the collector is busy."""
        return min(self._fast_polling.deadline(), self._check.deadline())

    def _take(self, ledger: CollectorLedger, now: float) -> int:
        """Read the notifications that came, and return how many of them announce rows."""
        were_missing = self._check.is_missing
        announcements = self._check.notified(ledger.link.take_notifications())
        if were_missing and not self._check.is_missing:
            log("notifications arrive again, so polling every second ends", event="notifications_arrive")
        self._fast_polling.notified(now, announcements)
        return announcements

    def _poll_fast(self, ledger: CollectorLedger, now: float) -> bool:
        """Start or stop fast polling, as far as it is time to; return whether it is time to poll."""
        is_poll_due = False
        while (step := self._fast_polling.next_step(now)) is not PollingStep.NOTHING:
            match step:
                case PollingStep.POLL:
                    is_poll_due = True
                case PollingStep.START:
                    self._fast_polling.started(now, is_allowed=ledger.start_fast_polling())
                case PollingStep.NOTIFY:
                    ledger.notify_others()
                    self._fast_polling.notified_others()
                case PollingStep.STOP:
                    all_ended = ledger.stop_fast_polling(is_polling=self._fast_polling.is_polling)
                    self._fast_polling.stopped(now, self._chance(), all_ended=all_ended)
                case _:
                    assert_never(step)
        return is_poll_due

    def _test(self, now: float, *, is_busy: bool) -> None:
        """Test whether notifications arrive, if it is time to; log it when they do not."""
        were_missing = self._check.is_missing
        if self._check.test_at is not None and now >= self._check.test_at and not is_busy:
            self._send_test()
        self._check.check(now)
        if self._check.is_missing and not were_missing:
            log(
                "notifications do not arrive, so the ledger is polled every second. A pooler in transaction mode drops"
                " LISTEN: let MAILROOM_DATABASE_URL name the database itself, or a pool in session mode",
                "warning",
                event="notifications_missing",
                channels=" ".join(self._check.channels),
                poll_interval_s=1,
            )

    def _send_test(self) -> None:
        try:
            # From another session: a pooler may deliver a session's own notification even without LISTEN.
            self._notify(self._check.calls)
        except MailroomError as error:
            log(
                f"the test whether notifications arrive failed, and is repeated later: {error}",
                error.level,
                event="notification_test_failed",
                reason=error.message,
                retry_in_s=self._check.interval,
            )
            self._check.not_sent(self._clock())
        else:
            self._check.sent(self._clock())
