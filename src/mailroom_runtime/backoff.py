"""Pure: how long to wait before the next try: exponential and capped, with jitter from half to the whole."""

from dataclasses import dataclass, field


def backoff(failures: int, random: float, *, first: float, cap: float) -> float:
    """Return the seconds to wait after so many failures, from 1; `random` is from 0 to 1."""
    return min(cap, first * 2.0 ** min(failures - 1, 32)) * (0.5 + random / 2)


@dataclass(slots=True)
class Backoff:
    """Counts the failures in a row. `first` and `cap` are in seconds."""

    first: float
    cap: float
    _failures: int = field(default=0, init=False)

    def failed(self, random: float) -> float:
        """Return the seconds to wait after one more failure; `random` is from 0 to 1."""
        self._failures += 1
        return backoff(self._failures, random, first=self.first, cap=self.cap)

    def succeeded(self) -> None:
        """Start again from the first wait."""
        self._failures = 0
