"""Pure: which writes and failures happen, and when. The same seed makes the same plan.

A storm has two phases, which alternate. In the rough phase everything fails, and SES takes mails at any rate. In the
scarce phase SES takes RATE mails a second, there are more mails than that, and the only failures are kills.
"""

import random
from dataclasses import dataclass
from typing import Final

PIPELINES: Final = 3
LEASE: Final = 3.0  # seconds
RATE: Final = 150.0
"""Recipients a second that SES takes in the scarce phase."""
UNLIMITED: Final = 100_000.0
"""Recipients a second that SES takes otherwise."""
MOST_MAILS, MOST_WITHIN = 2, 6
"""The most password recoveries that an account is mailed within so many seconds."""
REGULARS: Final = 2
"""The number of accounts that ask for a recovery again and again."""

_ROUGH, _SCARCE = 6.0, 9.0  # seconds that a phase lasts
_WRITES: Final = {
    "one": 45,  # a transaction with one account
    "import": 6,  # many accounts in one INSERT, in a transaction that may roll back
    "overlapping": 10,  # a lower id that commits after a higher one
    "rolled back": 10,
    "recovery": 18,  # an account is activated and asks for a recovery
    "several": 8,  # an account asks for several recoveries
    "insistent": 4,  # an account asks for recoveries until it has reached its limit
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
_WRITE_EVERY, _FAULT_EVERY, _KILL_EVERY = 1 / 6, 1.6, 3.0  # seconds, on average


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
    begins = 0.0
    while begins < seconds:
        ends = min(begins + _ROUGH, seconds)
        events.append(_event(begins, "phase rough", chance))
        events += _series(_FAULTS, _FAULT_EVERY, begins, ends, chance)
        if ends < seconds:
            begins, ends = ends, min(ends + _SCARCE, seconds)
            events.append(_event(begins, "phase scarce", chance, ends - begins))
            events.append(_event(begins, "import", chance, 1500))
            kills = {kind: weight for kind, weight in _FAULTS.items() if kind.startswith("kill")}
            events += _series(kills, _KILL_EVERY, begins, ends, chance)
        begins = ends
    for write in _series(_WRITES, _WRITE_EVERY, 0.0, seconds, chance):
        events += _again_and_again(write, chance) if write.kind == "insistent" else [write]
    return sorted(events, key=lambda event: event.at)


def _series(kinds: dict[str, int], pause: float, begins: float, ends: float, chance: random.Random) -> list[Event]:
    """Return events between two times, chosen by the weights of their kinds."""
    events = []
    at = begins + chance.expovariate(1 / pause)
    while at < ends:
        (kind,) = chance.choices(list(kinds), list(kinds.values()))
        events.append(_event(at, kind, chance))
        at += chance.expovariate(1 / pause)
    return events


def _event(at: float, kind: str, chance: random.Random, amount: float | None = None) -> Event:
    pipeline = chance.randrange(PIPELINES)
    return Event(at, kind, pipeline, _amount(kind, chance) if amount is None else amount, chance.getrandbits(32))


def _again_and_again(first: Event, chance: random.Random) -> list[Event]:
    """Return the requests of one impatient account."""
    account = chance.randrange(REGULARS)
    at, events = first.at, []
    for _ in range(8):
        events.append(Event(at, first.kind, first.pipeline, account, chance.getrandbits(32)))
        at += chance.uniform(0.1, 0.9)
    return events


def _amount(kind: str, chance: random.Random) -> float:
    if kind == "import":
        return chance.choice([20, 50, 300, 1000, 1500])
    if kind.startswith("stop"):
        return LEASE + chance.uniform(0.5, 3)
    if kind.startswith(("delay", "stall")):
        return chance.uniform(1, 2 * LEASE)
    if kind.startswith("SES"):
        return chance.uniform(0.5, 3)
    return chance.randint(1, 5)
