"""Pure: how long to wait before the next try. The wait doubles up to a cap, times a random factor from 0.5 to 1."""

from dataclasses import dataclass, field


def backoff(failures: int, random: float, *, first: float, cap: float) -> float:
    """Return the seconds to wait after `failures` failures (1 or more). `random` is from 0 to 1."""
    return min(cap, first * 2.0 ** min(failures - 1, 32)) * (0.5 + random / 2)


@dataclass(slots=True)
class Backoff:
    """Counts the failures in a row. `first` and `cap` are in seconds."""

    first: float
    cap: float
    _failures: int = field(default=0, init=False)

    def failed(self, random: float) -> float:
        """Count one more failure, and return the seconds to wait. `random` is from 0 to 1."""
        self._failures += 1
        return backoff(self._failures, random, first=self.first, cap=self.cap)

    def succeeded(self) -> None:
        """Reset the count: the next failure gets the first wait."""
        self._failures = 0
