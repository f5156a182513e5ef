"""Pure: the progress bar of a backlog: when to show it, and its text.

Times are monotonic seconds that the caller passes. The bar is short, and the cursor stands at its beginning. So a line
that the sender writes to the same terminal overwrites all of it.
"""

import math
from collections import deque
from typing import Final

_COUNT_AFTER: Final = 0.5  # seconds from the first claim of a backlog until its rows are counted
_WORTH: Final = 1.0  # a bar appears if the rest of the backlog needs more seconds than this
_RECOUNT: Final = 10.0  # seconds between counts: others may work at the same backlog, or add to it
_REDRAW: Final = 0.2  # seconds
_MEMORY: Final = 10.0  # seconds over which the rate is measured
_SLOWEST: Final = 0.01  # rows a second that are still worth an estimate
_WIDEST: Final = 56  # columns
_NARROWEST: Final = 5  # columns of the bar itself; with fewer there is none


class BacklogProgress:
    """The progress of one backlog after the other. `printed` are the rows printed since the start, of all backlogs."""

    def __init__(self) -> None:
        self._begun: tuple[float, int] | None = None
        self._ends = 0  # rows printed when the backlog is worked off
        self._samples: deque[tuple[float, int]] = deque()
        self._count_at = 0.0
        self.draw_at = float("inf")
        """When to draw the bar next; infinity when none is shown."""

    def is_count_due(self, now: float, printed: int) -> bool:
        """Note that rows are being printed; return whether to count the waiting rows now."""
        if self._begun is None:
            self._begun = (now, printed)
            self._count_at = now + _COUNT_AFTER
        return now >= self._count_at

    def counted(self, now: float, printed: int, waiting: int) -> None:
        """Note how many rows wait, those claimed and not printed included."""
        self._count_at = now + _RECOUNT
        self._ends = printed + waiting
        began, before = self._begun or (now, printed)
        if self.draw_at == float("inf") and waiting * (now - began) > _WORTH * (printed - before):
            self._samples.append((began, before))
            self.draw_at = now

    def ended(self) -> None:
        """Note that nothing is left."""
        self._begun = None
        self._samples.clear()
        self.draw_at = float("inf")

    def line(self, now: float, printed: int, columns: int) -> str:
        """Return the bar, for a terminal of so many columns."""
        self.draw_at = now + _REDRAW
        self._samples.append((now, printed))
        while self._samples[0][0] < now - _MEMORY:
            self._samples.popleft()
        then, before = self._samples[0]
        rate = (printed - before) / (now - then) if now > then else 0.0
        start = self._begun[1] if self._begun else printed
        done, total = printed - start, max(self._ends, printed) - start
        return bar(done, total, rate, columns)


def bar(done: int, total: int, rate: float, columns: int) -> str:
    """Return one line that fits; `rate` in rows a second."""
    part = done / total if total else 1.0
    left = "-:--" if rate < _SLOWEST else _clock((total - done) / rate)
    columns = min(_WIDEST, columns - 1)
    words = f"{int(part * 100)} %"
    for more in (f"{done:,}/{total:,}", left, f"{rate:,.0f}/s"):
        if len(words) + 2 + len(more) <= columns:
            words += f"  {more}"
    room = columns - len(words) - len("[]  ")
    if room < _NARROWEST:
        return words[: max(0, columns)]
    full = int(part * room)
    return f"[{'#' * full}{'-' * (room - full)}]  {words}"


def _clock(seconds: float) -> str:
    """Return 1:05, or 2:01:05, rounded up."""
    minutes, second = divmod(math.ceil(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
