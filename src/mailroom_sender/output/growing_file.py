"""A file that grows. The first write creates it. It is never deleted."""

import os
from pathlib import Path

from mailroom_sender.output.new_file import create, stamp


class GrowingFile:
    """`<name>_<UTC time>_<pid><ending>`, with mode 0600. For one thread at a time."""

    def __init__(self, folder: Path, name: str, ending: str) -> None:
        self._folder = folder
        self._name = name
        self._ending = ending
        self._fd: int | None = None
        self.path: Path | None = None
        """None until something is written."""

    def write(self, data: bytes) -> None:
        """Append all bytes and sync the file. Raises OSError; then nothing was appended."""
        if self._fd is None:
            name = f"{self._name}_{stamp()}_{os.getpid()}"
            self._fd, self.path = create(self._folder, name, self._ending)
            self._sync_folder()
        length = os.fstat(self._fd).st_size
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._fd, left) :]
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, length)
            raise

    def _sync_folder(self) -> None:
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
