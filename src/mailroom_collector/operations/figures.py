"""Pure: what the ledger answered, and what follows from it."""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class ListenResult:
    """Whether a notification arrived."""

    arrives: bool | None
    """None: it could not be tested."""
    ms: float | None = None
    """How long it took, in milliseconds."""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Deliveries that are not settled, of one state and holder."""

    state: str
    holder: str | None
    due: bool  # for a delivery that is held: its lease ran out
    deliveries: int
    first_due: datetime
    last_due: datetime


@dataclass(frozen=True, slots=True)
class Oldest:
    """The first token that may still be mailed and is not."""

    token: int
    queued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """Deliveries that were settled lately, of one state and reason."""

    state: str
    reason: str | None
    last_minute: int
    last_hour: int
    last_day: int
    doubts: int  # of the last day's
    newest: datetime


@dataclass(frozen=True, slots=True)
class QueueProgress:
    """What is not settled: all that a health check or a scrape needs."""

    at: datetime
    acknowledged_at: datetime | None
    fast_polling: bool
    """Whether a collector polls fast, so that inserts don't notify."""
    unsettled: Sequence[Unsettled]
    oldest: Oldest | None
    paused_at: datetime | None = None
    paused_reason: str | None = None

    def count(self, state: str, *, due: bool) -> int:
        """Return how many are in a state, and due or not."""
        return sum(one.deliveries for one in self.unsettled if one.state == state and one.due is due)

    @property
    def lapsed(self) -> int:
        """Return how many are held under a lease that ran out."""
        return self.count("claimed", due=True) + self.count("sending", due=True)

    @property
    def leases(self) -> list[Unsettled]:
        """Return the holders of deliveries, the one with most deliveries first."""
        held = [one for one in self.unsettled if one.holder is not None]
        return sorted(held, key=lambda one: (-one.deliveries, one.holder))

    @property
    def age(self) -> float:
        """Return for how many seconds the oldest mailable token waits; 0 without any."""
        return max(0.0, (self.at - self.oldest.queued_at).total_seconds()) if self.oldest else 0.0

    @property
    def overdue(self) -> float:
        """Return for how many seconds something is due that no collector claimed; 0 without any."""
        due = [one.first_due for one in self.unsettled if one.due]
        return max(0.0, (self.at - min(due)).total_seconds()) if due else 0.0


@dataclass(frozen=True, slots=True)
class History:
    """What was settled lately, and how fast."""

    settled: Sequence[Settled]
    p50_ms: float | None
    p95_ms: float | None

    def of(self, state: str) -> list[Settled]:
        """Return what came to this state, by reason, the most frequent first."""
        return sorted(
            (one for one in self.settled if one.state == state), key=lambda one: (-one.last_day, one.reason or "")
        )

    @property
    def last_sent_at(self) -> datetime | None:
        """Return when something was sent last, within a day."""
        return max((one.newest for one in self.of("sent")), default=None)


@dataclass(frozen=True, slots=True)
class Sessions:
    """How many sessions of the programs are connected to the database, by their application_name."""

    collectors: int
    senders: int


@dataclass(frozen=True, slots=True)
class Overview:
    """How the queue is."""

    queue: str
    progress: QueueProgress
    history: History
    listen_result: ListenResult
    sessions: Sessions
    pulse: Sequence[int] = field(default=())
    """Mails sent in each of the last seconds, oldest first."""
    public: Sequence[str] = field(default=())
    """Functions that run as their owner, and that every role may execute."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of the deliveries that were not mailed; None allows all."""

    tokens: Sequence[int] | None = None
    account: str | None = None  # id, login or address
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class UnsentDelivery:
    """One delivery that failed or was skipped. A deleted token has no account any more."""

    token: int
    action: str | None
    account: int | None
    login: str | None
    email: str | None
    state: str
    reason: str | None
    attempts: int
    doubts: int
    queued_at: datetime | None
    settled_at: datetime
    stale: str | None
    """Why it can't be mailed any more; None if it can."""


@dataclass(frozen=True, slots=True)
class Owner:
    """An account, and how many of its deliveries are in each state."""

    account: int
    login: str
    states: MutableMapping[str, int]


@dataclass(frozen=True, slots=True)
class RetryResult:
    """Whether a token was put back, or why not."""

    token: int
    refused: str | None
    code: str = ""
    """What `refused` means, as a word of mailroom_retry_rows()."""


class Hidden:
    """Stands for what the role may not read."""


class Unmatched(NamedTuple):
    """What exists instead of what was chosen; None where that was not chosen, or something matched."""

    tokens: Sequence[RetryResult]
    owners: Sequence[Owner] | Hidden | None = None
    history: History | None = None
