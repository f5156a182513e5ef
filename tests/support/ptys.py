"""Pseudo-terminals, for output that differs on a terminal."""

import os

import pytest


def open_pty() -> tuple[int, int]:
    """Return the two ends. Skips the test if there are none, as in a chroot without /dev/pts."""
    try:
        return os.openpty()
    except OSError as error:
        pytest.skip(f"no pseudo-terminal can be opened: {error}")
