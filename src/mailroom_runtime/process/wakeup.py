"""Signals and finished work as one readable descriptor, so that a single poll can wait for them too."""

import contextlib
import signal
import socket
from types import TracebackType
from typing import Self

_FINISHED = b"\0"  # no signal has this number


def stop_signals() -> frozenset[signal.Signals]:
    """Return the signals after which a program ends in good order.

    A closed terminal sends SIGHUP; `nohup` lets a program ignore it (POSIX, nohup), and then it stays ignored.
    """
    hangup = set() if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else {signal.SIGHUP}
    return frozenset({signal.SIGTERM, signal.SIGINT} | hangup)


class Wakeup:
    """While it is entered, turns the stop signals, and others if named, into bytes on a socket.

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
        """Return the descriptor that is readable once a signal or finished work has arrived."""
        return self._reader.fileno()

    def finished(self) -> None:
        """Wake the poll because work in another thread has finished; callable from any thread."""
        # If the socket is full, the poll wakes anyway. If it is closed, nothing waits any more.
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
        """Return the stop signals that have arrived since the last call; others are dropped."""
        return [number for number in self.signals() if number in self._stops]
