"""The progress bar of a backlog, on stderr."""

import time
from collections.abc import Callable

from mailroom_collector.report.progress_bar import BacklogProgress
from mailroom_collector.report.terminal import Terminal


class BacklogBar:
    """Draws the bar while a backlog is worked off, on a terminal that can be drawn on."""

    def __init__(self, terminal: Terminal, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = terminal
        self._clock = clock
        self._progress = BacklogProgress()

    @property
    def draw_at(self) -> float:
        """Return when to draw next."""
        return self._progress.draw_at

    def draw(self, printed: int, count_waiting: Callable[[], int | None]) -> None:
        """Draw the bar if there is one to show; `printed` rows since the start.

        `count_waiting` returns how many rows wait, those claimed and not printed included; None: not known now.
        """
        if not self._terminal.can_draw:
            return
        now = self._clock()
        if self._progress.is_count_due(now, printed):
            waiting = count_waiting()
            if waiting is None:
                return
            self._progress.counted(self._clock(), printed, waiting)
        if now >= self._progress.draw_at:
            self._terminal.draw(self._progress.line(now, printed, self._terminal.columns))

    def end(self) -> None:
        """Remove the bar, because nothing is left."""
        self._progress.ended()
        self._terminal.erase()

    def erase(self) -> None:
        """Remove the bar until it is drawn again."""
        self._terminal.erase()
