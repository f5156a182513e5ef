"""Signals and finished calls as one readable descriptor, so that one poll can wait for them too."""

import contextlib
import signal
import socket
from types import TracebackType
from typing import Self

_FINISHED = b"\0"  # no signal has this number


class Wakeup:
    """Turns SIGTERM and SIGINT into bytes on a socket while it is entered."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
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
        """Wake the poll because a worker has finished; callable from any thread."""
        # Full: it will wake anyway. Closed: nobody waits any more.
        with contextlib.suppress(OSError):
            self._writer.send(_FINISHED)

    def stops(self) -> int:
        """Take what has come since the last look; return how many signals to stop were among it."""
        try:
            seen = self._reader.recv(4096)
        except BlockingIOError:
            return 0
        return sum(number in (signal.SIGTERM, signal.SIGINT) for number in seen)
