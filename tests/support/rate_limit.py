"""The bucket of an SES account: how SES decides that the rate is too high. It reads no clock."""

from dataclasses import dataclass, field


@dataclass
class RateLimit:
    """A token bucket of recipients. SES does not say how long a burst it lets pass."""

    rate: float  # recipients a second
    seconds: float  # of the rate that the bucket holds, at least one recipient
    throttled: int = 0  # refused calls
    _balance: float = field(default=float("inf"), init=False)
    _filled_at: float = field(default=0.0, init=False)

    def takes(self, recipients: int, now: float) -> bool:
        """Return whether a call with so many recipients passes."""
        filled = self._balance + (now - self._filled_at) * self.rate
        self._balance, self._filled_at = min(max(1.0, self.rate * self.seconds), filled), now
        # Sums of fractions are not exact.
        if self._balance + 1e-6 < recipients:
            self.throttled += 1
            return False
        self._balance -= recipients
        return True
