"""stderr as a terminal: shows one line until it is drawn again or erased. Other lines may cover it."""

import contextlib
import os
from collections.abc import Mapping
from typing import Final

_ERASE: Final = "\r\x1b[K"  # EL, Erase in Line (ECMA-48): to the end
_USUAL: Final = 80  # columns


class Terminal:
    """Draws on a descriptor. Does nothing if it is not a terminal that can be drawn on."""

    def __init__(self, fd: int, environ: Mapping[str, str]) -> None:
        self._fd = fd
        self.can_draw = os.isatty(fd) and environ.get("TERM", "dumb") not in ("", "dumb")
        self._drawn = False

    @property
    def columns(self) -> int:
        """Return its width now."""
        try:
            return os.get_terminal_size(self._fd).columns or _USUAL
        except OSError:
            return _USUAL

    def draw(self, line: str) -> None:
        """Show the line, with the cursor at its beginning."""
        if self._is_foreground:
            self._drawn = True
            self._write(f"{_ERASE}{line}\r")

    def erase(self) -> None:
        """Remove the line, if there is one."""
        if self._drawn:
            self._drawn = False
            self._write(_ERASE)

    @property
    def _is_foreground(self) -> bool:
        """Return whether this is the foreground job of the terminal. Another job would draw over the shell's prompt."""
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:  # it is not the terminal of this session, so this session has no jobs on it
            return True

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._fd, text.encode())
