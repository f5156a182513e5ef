"""Waiting for a condition, with a deadline, and never for a time."""

import time
from collections.abc import Callable


def until(
    condition: Callable[[], object], what: str | Callable[[], str] = "the condition", seconds: float = 30.0
) -> None:
    """Return as soon as the condition holds.

    Fail if it does not hold in time, with the value of `what` at that moment.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what if isinstance(what, str) else what()} did not come true within {seconds} s")
        time.sleep(0.01)
