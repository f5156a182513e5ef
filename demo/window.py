"""The demo on a terminal: the mails, and the instruction again before it would scroll away."""

import os
from typing import Final

__all__ = ["Window", "rows_taken"]

_MARGIN: Final = 5
"""Rows for the rest of a mail, for log lines of the programs, and for the cursor."""
_FEWEST: Final = 6
"""The fewest rows between two instructions, so that mails are visible in a small window too."""


def rows_taken(line: str, columns: int) -> int:
    """Return how many rows of a terminal a line takes."""
    return max(1, -(-len(line) // max(1, columns)))


class Window:
    """Prints lines, and repeats the instruction so often that it always stays in the window.

    It moves no cursor and sets no region, so it works on every terminal and in every window.
    """

    def __init__(self, fd: int, instruction: str) -> None:
        """`fd` is the terminal; an empty instruction is never printed."""
        self._fd = fd
        self._instruction = instruction
        self._rows = 0  # since the instruction was last printed

    def instruct(self) -> None:
        """Print the instruction."""
        self._rows = 0
        if self._instruction:
            self._write(f"\n{self._instruction}\n\n")

    def show(self, line: str) -> None:
        """Print a line. An indented line belongs to the mail above it, and is not separated from it."""
        columns, rows = self._size()
        taken = rows_taken(line, columns)
        own = 2 + sum(rows_taken(one, columns) for one in self._instruction.splitlines())
        is_full = self._rows + taken > max(_FEWEST, rows - own - _MARGIN)
        if is_full and not line.startswith(" "):
            self.instruct()
        self._rows += taken
        self._write(f"{line}\n")

    def _size(self) -> tuple[int, int]:
        try:
            columns, rows = os.get_terminal_size(self._fd)
        except OSError:
            return 80, 24
        return columns or 80, rows or 24

    def _write(self, text: str) -> None:
        left = memoryview(text.encode())
        while left:
            left = left[os.write(self._fd, left) :]
