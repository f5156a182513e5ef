"""stdin to complete lines. What is behind the last newline is never a line."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_READ: Final = 1 << 16
LONGEST: Final = 1 << 23
"""Bytes of a line, 8 MiB: more than 10,000 rows of the longest fields that the schema allows."""


@dataclass(frozen=True, slots=True)
class Overlong:
    """A piece of a line that is longer than any batch can be."""

    data: bytes


class Inlet:
    """Reads a descriptor that polled readable, and hands out what is complete."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.ended = False
        self._partial = bytearray()
        self._overlong = False

    def read(self) -> Iterator[bytes | Overlong]:
        """Read once, and yield complete lines without their newline."""
        data = os.read(self.fd, _READ)
        if not data:
            self.ended = True
            return
        *complete, rest = data.split(b"\n")
        for piece in complete:
            line, self._partial = bytes(self._partial) + piece, bytearray()
            yield Overlong(line + b"\n") if self._overlong or len(line) > LONGEST else line
            self._overlong = False
        self._partial += rest
        if len(self._partial) > LONGEST:
            yield Overlong(bytes(self._partial))
            self._partial.clear()
            self._overlong = True

    def leftover(self) -> bytes:
        """Return what came after the last newline: the writer died in the middle of it."""
        return bytes(self._partial)
