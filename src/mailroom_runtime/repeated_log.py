"""Logs events of which there may be very many: the first few one by one, the others as a count every few seconds."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from mailroom_runtime.log import Level, Log
from mailroom_runtime.repeats import Repeat, Repeats


class RepeatedLog:
    """Callable from any thread; its program calls tell() at due_at, and once at its end."""

    def __init__(
        self, log: Log, event: str, number: str, one: Callable[[int, str], str], many: Callable[[Repeat], str]
    ) -> None:
        """`event` is their name, `number` says what their numbers are. `one` words an event, and `many` a count."""
        self._log = log
        self._event = event
        self._number = number
        self._one = one
        self._many = many
        self._levels: dict[str, Level] = {}
        self._repeats = Repeats()
        self._lock = threading.Lock()

    @property
    def due_at(self) -> float:
        """Return when to call tell(), in monotonic seconds."""
        return self._repeats.due_at

    def __call__(self, kind: str, events: Sequence[int], level: Level = "info") -> None:
        """Log or count events of one kind."""
        with self._lock:
            self._levels[kind] = level
            named = self._repeats.add(kind, events, time.monotonic())
        for event in named:
            number: dict[str, Any] = {self._number: event}
            self._log(self._one(event, kind), level, event=self._event, reason=kind, **number)

    def tell(self, *, is_end: bool = False) -> None:
        """Log what was counted, if it is time to or this is the end."""
        now = time.monotonic()
        with self._lock:
            if not is_end and now < self._repeats.due_at:
                return
            levels, counts = self._levels, self._repeats.tell(now)
            self._levels = {}
        for repeat in counts:
            fields: dict[str, Any] = {f"first_{self._number}": repeat.first, f"last_{self._number}": repeat.last}
            self._log(
                self._many(repeat),
                levels[repeat.kind],
                event=self._event,
                count=repeat.count,
                reason=repeat.kind,
                **fields,
            )
