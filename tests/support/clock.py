"""A clock that a test moves."""

from dataclasses import dataclass


@dataclass
class Clock:
    """Returns the seconds that it was set to."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now
