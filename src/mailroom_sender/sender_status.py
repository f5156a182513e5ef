"""Reports the sender's state to its watchdog and to systemd."""

from typing import Final

from mailroom_runtime.process.systemd import Notifier
from mailroom_runtime.process.watchdog import Watchdog
from mailroom_runtime.words import counted

_EVERY: Final = 5.0  # the least seconds between two statuses


class SenderStatus:
    """Called by the main loop. Times are monotonic seconds."""

    def __init__(self, notifier: Notifier, watchdog: Watchdog) -> None:
        self.watchdog = watchdog
        self._notifier = notifier
        self._status_at = 0.0

    def waiting_for_database(self, reason: str) -> None:
        """Say that the database can't be reached yet."""
        self._notifier.status(f"waiting for the database: {reason}")

    def running(self, now: float, sent: int, hold_reason: str) -> None:
        """Say how many mails were sent since the start, and why calls wait if they do."""
        self._notifier.ready()
        if now >= self._status_at:
            self._status_at = now + _EVERY
            mails = counted(sent, "mail")
            self._notifier.status(f"{mails} since the start{hold_reason and f'; calls wait: {hold_reason}'}")

    def stopping(self) -> None:
        """Say that the sender ends."""
        self._notifier.stopping()
