"""Signals as a readable descriptor, so that one poll can wait for them too."""

import signal
import socket
from types import TracebackType
from typing import Self


class Wakeup:
    """Turns SIGTERM and SIGINT, and others if named, into bytes on a socket while it is entered.

    A signal that arrives at any moment, also just before the poll, is then seen by the poll.
    """

    def __init__(self, *others: signal.Signals) -> None:
        self._numbers = (signal.SIGTERM, signal.SIGINT, *others)
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in self._numbers:
            signal.signal(number, lambda *_: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        """Return the descriptor that is readable once a signal has come."""
        return self._reader.fileno()

    def signals(self) -> list[signal.Signals]:
        """Take the signals that have come since the last look."""
        try:
            return [signal.Signals(number) for number in self._reader.recv(256)]
        except BlockingIOError:
            return []
