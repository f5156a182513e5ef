"""Ends the process when its main loop hangs. While the loop runs, reports that to a service manager.

A timer ticks, and each round of the main loop resets the count of ticks. If the count becomes too large, the loop
hangs. The watchdog counts ticks and does not measure time: a process that was stopped, or whose machine slept, gets
only one tick when it continues. The signal of a tick also ends the poll (signal.set_wakeup_fd), so that an idle loop
makes a round too.
"""

import math
import os
import signal
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

from mailroom_runtime.log import Log
from mailroom_runtime.process.systemd import Notifier

_TICK: Final = 10.0  # seconds, at most
_LOG_TIMEOUT: Final = 1.0  # seconds for the last line of the log, which may hang too


class Watchdog:
    """Watches the main thread while it is entered."""

    def __init__(self, limit: float, notifier: Notifier, log: Log, tick: float = _TICK) -> None:
        """`limit`: after so many seconds without reset() the loop counts as hung. Every wait in it must be shorter."""
        self._log = log
        self._notifier = notifier
        # sd_watchdog_enabled(3) advises half of what the manager allows.
        self._tick = min(tick, notifier.watchdog_interval / 2) if notifier.watchdog_interval else tick
        self._most = math.ceil(limit / self._tick)
        self._missed = 0
        self._ping_at = 0.0
        # On a terminal, Ctrl-S stops the output, and so the loop. The process must not end because of that.
        self._lethal = not os.isatty(2)

    def __enter__(self) -> Self:
        signal.signal(signal.SIGALRM, self._ticked)
        signal.setitimer(signal.ITIMER_REAL, self._tick, self._tick)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)

    def reset(self) -> None:
        """Reset the count of ticks, because the main loop runs. Report that to the service manager if it is due."""
        self._missed = 0
        if self._notifier.watchdog_interval is not None and time.monotonic() >= self._ping_at:
            self._ping_at = time.monotonic() + self._tick / 2
            self._notifier.alive()

    def _ticked(self, _: int, frame: FrameType | None) -> None:
        self._missed += 1
        if self._missed <= self._most or not self._lethal:
            return
        # From here on the kernel ends this process, even if the log hangs too.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, _LOG_TIMEOUT)
        seconds = self._missed * self._tick
        place = _where(frame)
        self._log(
            f"the main loop has not run for {seconds:.0f} s, so this process ends; it hangs in {place}",
            "error",
            event="main_loop_hung",
            stood_still_s=seconds,
            place=place,
        )
        os.kill(os.getpid(), signal.SIGALRM)


def _where(frame: FrameType | None) -> str:
    """Return the files and lines of the call stack, innermost first."""
    places: list[str] = []
    while frame is not None and len(places) < 8:  # noqa: PLR2004 - more would make the line too long
        places.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(places)
