"""Pure: which writes and failures happen, and when. The same seed makes the same plan."""

import random
from dataclasses import dataclass
from typing import Final

PIPELINES: Final = 3
LEASE: Final = 3.0  # seconds

_WRITES: Final = {
    "one": 50,  # a transaction with one account
    "bulk": 6,  # many accounts in one INSERT
    "overlapping": 10,  # a lower id that commits after a higher one
    "rolled back": 10,
    "recovery": 12,  # an account is activated and asks for a recovery
    "short-lived": 5,  # a token that expires within seconds
    "suspended": 6,  # an account is suspended while its token waits
    "consumed": 6,  # a token is consumed while it waits
}
_FAULTS: Final = {
    "kill collector": 16,
    "kill sender": 16,
    "stop collector": 5,  # SIGSTOP, for longer than a lease
    "stop sender": 7,
    "end pipeline": 3,  # SIGTERM
    "terminate backends": 6,
    "restart PostgreSQL": 2,
    "cut network": 8,
    "delay network": 4,
    "stall network": 4,
    "SES fails": 3,
    "SES throttles": 3,
    "SES stalls": 3,
    "SES cuts": 4,
    "SES talks garbage": 3,
}


@dataclass(frozen=True)
class Event:
    """An action at a time (seconds from the start)."""

    at: float
    kind: str
    pipeline: int
    amount: float  # rows, or seconds
    seed: int


def plan(seed: int, seconds: float) -> list[Event]:
    """Return the events of a storm in order: about six writes per second, and a failure every other second."""
    chance = random.Random(seed)
    events: list[Event] = []
    for kinds, pause in ((_WRITES, 1 / 6), (_FAULTS, 1.6)):
        at = chance.expovariate(1 / pause)
        while at < seconds:
            (kind,) = chance.choices(list(kinds), list(kinds.values()))
            events.append(Event(at, kind, chance.randrange(PIPELINES), _amount(kind, chance), chance.getrandbits(32)))
            at += chance.expovariate(1 / pause)
    return sorted(events, key=lambda event: event.at)


def _amount(kind: str, chance: random.Random) -> float:
    if kind == "bulk":
        return chance.choice([20, 50, 300, 1000])
    if kind.startswith("stop"):
        return LEASE + chance.uniform(0.5, 3)
    if kind.startswith(("delay", "stall")):
        return chance.uniform(1, 2 * LEASE)
    if kind.startswith("SES"):
        return chance.uniform(0.5, 3)
    return chance.randint(1, 5)
