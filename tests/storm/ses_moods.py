"""How SES fails: a little all the time, often in one way while in a mood, and above its rate while that is scarce."""

import random
import time

from tests.storm.plan import LEASE, RATE
from tests.support.rate_limit import RateLimit
from tests.support.ses_endpoint import Call, Reply, accepted, refused

_ALWAYS = {"SES fails": 2, "SES throttles": 2, "SES stalls": 1, "SES cuts": 2, "SES talks garbage": 1, "partly": 4}
_WELL = 88
_SCARCE = {"SES cuts": 1, "partly": 2, "well": 97}
"""What happens while the rate is scarce. These failures make no pipeline wait much longer than another."""


class Moods:
    """Decides each call's answer by a seeded chance, and counts the answers."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._mood, self._until = "", 0.0
        self._scarce_until = 0.0
        self._limit = RateLimit(RATE, seconds=1.0)
        self.well = False
        self.counts: dict[str, int] = {}

    def get_into(self, mood: str, seconds: float) -> None:
        """Be in a mood for a number of seconds."""
        self._mood, self._until = mood, time.monotonic() + seconds

    def be_scarce(self, seconds: float) -> None:
        """Refuse what is above the rate for a number of seconds."""
        self._scarce_until = time.monotonic() + seconds

    def decide(self, call: Call) -> Reply | None:
        """Return the answer to a call. None means that all of it is accepted. Called with the endpoint's lock held."""
        kind = self._kind(len(call.destinations))
        self.counts[kind] = self.counts.get(kind, 0) + 1
        everyone = [("Success", f"m{self._chance.getrandbits(60)}") for _ in call.destinations]
        match kind:
            case "SES fails":
                return Reply(status=503, body=b"<html>Service Unavailable</html>", content_type="text/html")
            case "SES throttles" | "above the rate":
                return refused("Throttling", "Maximum sending rate exceeded.")
            case "SES stalls":  # longer than any caller waits, and accepts the mails
                return Reply(body=accepted(everyone).body, delay=LEASE)
            case "SES cuts":
                return Reply(status=None)
            case "SES talks garbage":
                return Reply(body=bytes(self._chance.randrange(256) for _ in range(60)))
            case "partly":
                return accepted(
                    [("Success", "m") if self._chance.random() < 0.7 else ("TransientFailure", "x") for _ in everyone]
                )
        return accepted(everyone)

    def _kind(self, recipients: int) -> str:
        if self.well:
            return "well"
        if time.monotonic() < self._scarce_until:
            return self._choose(_SCARCE) if self._limit.takes(recipients, time.monotonic()) else "above the rate"
        if time.monotonic() < self._until and self._chance.random() < 0.7:
            return self._mood
        return self._choose(_ALWAYS | {"well": _WELL})

    def _choose(self, weights: dict[str, int]) -> str:
        return self._chance.choices(list(weights), list(weights.values()))[0]
