"""The wait between two tries to reach the database. It grows, and it ends when the sender must stop."""

import random
import threading
import time
from collections.abc import Callable
from typing import Final

from mailroom_runtime.backoff import backoff
from mailroom_runtime.errors import MailroomError
from mailroom_sender.errors import Stopped
from mailroom_sender.log import log

_FIRST, _CAP = 0.1, 30.0  # seconds
_GRACE: Final = 5.0
"""Seconds for which a stopping sender still tries to record outcomes."""
_MOST_IN_GRACE: Final = 0.5  # the most seconds between two tries in that time


class RetryWait:
    """Callable from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stopped = threading.Event()
        self._give_up_at = float("inf")

    def stop(self) -> None:
        """End the present wait. From now on there are tries only for a grace period."""
        self._give_up_at = self._clock() + _GRACE
        self._stopped.set()

    def __call__(self, error: MailroomError, failures: int) -> None:
        """Log a failure, and wait. The wait grows with `failures`. Raises Stopped when the grace period is over."""
        if self._clock() >= self._give_up_at:
            raise Stopped from None
        wait = backoff(failures, random.random(), first=_FIRST, cap=_CAP)
        log(
            f"{error}; no calls are made; trying again in {wait:.1f} s",
            error.level,
            event="database_unavailable",
            reason=str(error),
            retry_in_s=round(wait, 3),
        )
        if self._stopped.is_set():
            time.sleep(min(wait, _MOST_IN_GRACE))
        else:
            self._stopped.wait(wait)
