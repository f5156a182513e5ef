"""Logs once that the queue is paused, and once that it is not paused any more."""

import threading
from collections.abc import Set

from mailroom_sender.log import log

_PAUSED = "paused"
_MAY_BE_SENT = frozenset({"begun", "stale", "changed"})
"""Codes that mailroom_begin_rows() returns only when the queue is not paused."""


class PauseLog:
    """Finds out from the answers to begin whether the queue is paused. Callable from any thread."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._is_paused = False
        self._lock = threading.Lock()

    def note(self, codes: Set[str]) -> None:
        """Note the codes of one answer to begin, and log a change."""
        with self._lock:
            was_paused = self._is_paused
            self._is_paused = _PAUSED in codes or (was_paused and not codes & _MAY_BE_SENT)
            is_paused = self._is_paused
        if is_paused and not was_paused:
            log(
                f"the queue {self._queue} is paused: its rows go back to it, and nothing is sent until somebody runs"
                " 'mailroom-collect resume'",
                "warning",
                event="queue_paused",
                queue=self._queue,
            )
        elif was_paused and not is_paused:
            log(
                f"the queue {self._queue} is not paused any more: mails are sent again",
                event="queue_resumed",
                queue=self._queue,
            )
