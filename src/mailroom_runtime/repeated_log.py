"""Logs events that may be very many: the first few get a line each, the others one count every few seconds."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from mailroom_runtime.log import Level, Log
from mailroom_runtime.repeats import Repeat, Repeats


class RepeatedLog:
    """Any thread may call it. The program calls log_counts() at due_at, and once when it ends."""

    def __init__(
        self, log: Log, event: str, id_field: str, one: Callable[[int, str], str], many: Callable[[Repeat], str]
    ) -> None:
        """`event` is the name of the events, and `id_field` is the JSON field of their ids, such as `row`.

        `one` makes the text of one event, `many` makes the text of a count.
        """
        self._log = log
        self._event = event
        self._id_field = id_field
        self._one = one
        self._many = many
        self._levels: dict[str, Level] = {}
        self._repeats = Repeats()
        self._lock = threading.Lock()

    @property
    def due_at(self) -> float:
        """Return when to call log_counts(), in monotonic seconds."""
        return self._repeats.due_at

    def __call__(self, reason: str, ids: Sequence[int], level: Level = "info") -> None:
        """Log or count events with one reason. `ids` are the ids of what they are about."""
        with self._lock:
            self._levels[reason] = level
            named = self._repeats.add(reason, ids, time.monotonic())
        for named_id in named:
            id_: dict[str, Any] = {self._id_field: named_id}
            self._log(self._one(named_id, reason), level, event=self._event, reason=reason, **id_)

    def log_counts(self, *, is_end: bool = False) -> None:
        """Log what was counted, if the time has come or the program ends."""
        now = time.monotonic()
        with self._lock:
            if not is_end and now < self._repeats.due_at:
                return
            levels, counts = self._levels, self._repeats.take_counts(now)
            self._levels = {}
        for repeat in counts:
            fields: dict[str, Any] = {f"first_{self._id_field}": repeat.first, f"last_{self._id_field}": repeat.last}
            self._log(
                self._many(repeat),
                levels[repeat.reason],
                event=self._event,
                count=repeat.count,
                reason=repeat.reason,
                **fields,
            )
