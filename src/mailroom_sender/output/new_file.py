"""Creates files that did not exist before. Their names have the time, and only this user can read them."""

import os
import time
from pathlib import Path
from typing import Final

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC


def stamp(before: int = 0) -> str:
    """Return the time, or the time `before` seconds ago, for a file's name. Names sort by it."""
    now = time.time_ns() - before * 10**9
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 10**9)) + f".{now // 1000 % 10**6:06d}Z"


def create(folder: Path, name: str, ending: str) -> tuple[int, Path]:
    """Create a file with mode 0600. A second file of the same microsecond gets a suffix. Raises OSError."""
    tries = 0
    while True:
        path = folder / f"{name}{f'-{tries}' if tries else ''}{ending}"
        try:
            return os.open(path, _NEW, 0o600), path
        except FileExistsError:
            tries += 1
