"""Reads single keys of a terminal. They need no Enter and are not shown. At the end stdin gets its old settings."""

import os
import sys
import termios
import tty
from types import TracebackType
from typing import Any, Final, Self

_END: Final = b"qQ"


class Keyboard:
    """Reads stdin while the object is entered. It reads nothing when stdin is not a terminal."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        if self._fd is not None:
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)  # Ctrl-C stays a signal
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd is not None and self._before is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def fileno(self) -> int | None:
        """Return the descriptor to poll; None when there is nothing to read."""
        return self._fd

    def was_quit_pressed(self) -> bool:
        """Read the keys that were pressed, and return whether one of them was q."""
        if self._fd is None:
            return False
        try:
            keys = os.read(self._fd, 256)
        except OSError:  # the terminal was closed
            keys = b""
        if not keys:
            self._fd = None
        return any(key in _END for key in keys)
