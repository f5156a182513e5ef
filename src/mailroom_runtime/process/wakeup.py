"""Signals and finished work as one readable descriptor, so that one poll can wait for them too."""

import contextlib
import signal
import socket
from types import TracebackType
from typing import Self

_FINISHED = b"\0"  # no signal has this number


def stop_signals() -> frozenset[signal.Signals]:
    """Return the signals that end a program in order.

    A closed terminal sends SIGHUP; `nohup` lets a program ignore it (POSIX, nohup), and then it stays ignored.
    """
    hangup = set() if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else {signal.SIGHUP}
    return frozenset({signal.SIGTERM, signal.SIGINT} | hangup)


class Wakeup:
    """Turns the signals to stop, and others if named, into bytes on a socket while it is entered.

    A signal that arrives at any moment, also just before the poll, is then seen by the poll.
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
        """Return the descriptor that is readable once something has come."""
        return self._reader.fileno()

    def finished(self) -> None:
        """Wake the poll because work in another thread has finished; callable from any thread."""
        # Full: it will wake anyway. Closed: nobody waits any more.
        with contextlib.suppress(OSError):
            self._writer.send(_FINISHED)

    def signals(self) -> list[signal.Signals]:
        """Take the signals that have come since the last call."""
        try:
            seen = self._reader.recv(4096)
        except BlockingIOError:
            return []
        return [signal.Signals(number) for number in seen if number != _FINISHED[0]]

    def stops(self) -> list[signal.Signals]:
        """Take what has come since the last call; return the signals to stop among it."""
        return [number for number in self.signals() if number in self._stops]
