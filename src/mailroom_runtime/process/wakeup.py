"""A descriptor that becomes readable when a signal comes or work has finished, so that one poll waits for both."""

import contextlib
import signal
import socket
from types import TracebackType
from typing import Self

_FINISHED = b"\0"  # no signal has this number


def stop_signals() -> frozenset[signal.Signals]:
    """Return the signals that stop a program in good order: SIGTERM, SIGINT, and SIGHUP, which a closed terminal sends.

    If `nohup` has set the program to ignore SIGHUP (POSIX, nohup), it stays ignored.
    """
    hangup = set() if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else {signal.SIGHUP}
    return frozenset({signal.SIGTERM, signal.SIGINT} | hangup)


class Wakeup:
    """While it is entered, it turns the stop signals, and the `others`, into bytes on a socket.

    So the poll sees every signal, even one that arrives just before the poll.
    """

    def __init__(self, *others: signal.Signals) -> None:
        self._stops = stop_signals()
        self._others = others
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (*self._stops, *self._others):
            signal.signal(number, lambda *_: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        """Return the descriptor, which is readable after a signal or wake()."""
        return self._reader.fileno()

    def wake(self) -> None:
        """Wake the poll, because work in another thread has finished. Any thread may call it."""
        # If the socket is full, the poll wakes anyway. If it is closed, the poll has ended.
        with contextlib.suppress(OSError):
            self._writer.send(_FINISHED)

    def signals(self) -> list[signal.Signals]:
        """Return the signals that have arrived since the last call."""
        try:
            seen = self._reader.recv(4096)
        except BlockingIOError:
            return []
        return [signal.Signals(number) for number in seen if number != _FINISHED[0]]

    def stops(self) -> list[signal.Signals]:
        """Return the stop signals that have arrived since the last call. Other signals are dropped."""
        return [number for number in self.signals() if number in self._stops]
