"""What is rung: hears it, attends when bells come fast, and tests whether they arrive at all."""

import random
import time
from typing import assert_never

from mailroom_collector.ledger.connection import notify
from mailroom_collector.ledger.steps import CollectorLedger
from mailroom_collector.log import log
from mailroom_collector.schedule.fast_polling import FastPolling, PollingStep
from mailroom_collector.schedule.listen_check import ListenCheck
from mailroom_collector.settings import CollectorSettings
from mailroom_runtime.errors import MailroomError

_ECHO_PATIENCE = 2.0  # seconds for which the loop may stand still for a call: leases must be extended meanwhile


class Notifications:
    """The bells of one connection after the other. Times are monotonic seconds."""

    def __init__(self, settings: CollectorSettings, holder: str) -> None:
        self._settings = settings
        self._echo = ListenCheck(settings.healthcheck_interval_ms / 1000, holder, settings.channels)
        self._attendance = FastPolling()

    @property
    def deaf(self) -> bool:
        """Say whether notifications don't arrive."""
        return self._echo.deaf

    @property
    def attending(self) -> bool:
        """Say whether this collector looks every few ms anyway."""
        return self._attendance.attending

    def connected(self, now: float) -> None:
        """A new connection listens."""
        self._echo.connected(now)
        self._attendance.connected(now)

    def disconnected(self) -> None:
        """Nothing listens."""
        self._echo.disconnected()
        self._attendance.disconnected()

    def turn(self, ledger: CollectorLedger, now: float, *, is_busy: bool) -> bool:
        """Do what is due; say whether there is a reason to look into the ledger. Raises like the ledger."""
        was_deaf = self._echo.deaf
        bells = self._echo.heard(ledger.link.notifications())
        if was_deaf and not self._echo.deaf:
            log("notifications arrive again")
        self._attendance.heard(now, bells)
        has_reason = self._attend(ledger, now)
        self._listen_for_echo(now, is_busy=is_busy)
        return has_reason or bells > 0

    def found(self, now: float) -> None:
        """There were new rows."""
        self._attendance.found(now)

    def looked(self, now: float, *, another_attends: bool) -> None:
        """The ledger said whether another collector attends."""
        self._attendance.looked(now, another_attends=another_attends)

    def deadline(self) -> float:
        """Return when there is next something to do for who is not busy."""
        return min(self._attendance.deadline(), self._echo.deadline())

    def _attend(self, ledger: CollectorLedger, now: float) -> bool:
        """Attend or leave, as far as it is time to; say whether it is time to look."""
        look = False
        while (do := self._attendance.do(now)) is not PollingStep.NOTHING:
            match do:
                case PollingStep.LOOK:
                    look = True
                case PollingStep.ATTEND:
                    self._attendance.attended(now, ledger.attend(already=False))
                case PollingStep.RING:
                    ledger.attend(already=True)
                    self._attendance.rang()
                case PollingStep.LEAVE:
                    all_ended = ledger.leave(attending=self._attendance.attending)
                    self._attendance.left(now, all_ended, random.random())
                case _:
                    assert_never(do)
        return look

    def _listen_for_echo(self, now: float, *, is_busy: bool) -> None:
        was_deaf = self._echo.deaf
        if self._echo.ask_at is not None and now >= self._echo.ask_at and not is_busy:
            self._call()
        self._echo.listen_in_vain(now)
        if self._echo.deaf and not was_deaf:
            log(
                "notifications do not arrive, so the ledger is looked at every second; a pooler in transaction mode"
                " drops LISTEN: name the database itself, or a pool in session mode, in MAILROOM_DATABASE_URL",
                "warning",
            )

    def _call(self) -> None:
        settings = self._settings
        try:
            # Another session: through a pooler, one's own might answer without listening.
            notify(settings.database_url, self._echo.calls, _ECHO_PATIENCE)
        except MailroomError as error:
            log(f"whether notifications arrive can't be tested now: {error}", error.level)
            self._echo.not_asked(time.monotonic())
        else:
            self._echo.asked(time.monotonic())
