"""Pure: the figures that the queries return, and what is calculated from them."""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from mailroom_collector.report.outlook import Outlook


@dataclass(frozen=True, slots=True)
class ListenResult:
    """The result of a test whether notifications arrive."""

    arrives: bool | None
    """None: the test could not be made."""
    ms: float | None = None
    """How long the notification took, in milliseconds."""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """The number of unsettled deliveries with one state and holder."""

    state: str
    holder: str | None
    due: bool  # for a delivery that a process holds: its lease has run out
    deliveries: int
    first_due: datetime
    last_due: datetime


@dataclass(frozen=True, slots=True)
class Oldest:
    """The oldest token that is not mailed and may still be mailed."""

    token: int
    queued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """The number of recently settled deliveries with one state and reason."""

    state: str
    reason: str | None
    last_minute: int
    last_hour: int
    last_day: int
    doubts: int  # of the last day's
    newest: datetime


@dataclass(frozen=True, slots=True)
class QueueProgress:
    """What is not settled: everything that a health check or a scrape needs."""

    at: datetime
    acknowledged_at: datetime | None
    fast_polling: bool
    """Whether a collector polls fast, so that inserts don't notify."""
    unsettled: Sequence[Unsettled]
    oldest: Oldest | None
    paused_at: datetime | None = None
    paused_reason: str | None = None

    def count(self, state: str, *, due: bool) -> int:
        """Return the number of deliveries in a state that are due, or that are not due."""
        return sum(one.deliveries for one in self.unsettled if one.state == state and one.due is due)

    @property
    def lapsed(self) -> int:
        """Return the number of deliveries whose lease has run out."""
        return self.count("claimed", due=True) + self.count("sending", due=True)

    @property
    def leases(self) -> list[Unsettled]:
        """Return the held deliveries by holder and state, the largest number first."""
        held = [one for one in self.unsettled if one.holder is not None]
        return sorted(held, key=lambda one: (-one.deliveries, one.holder))

    @property
    def age(self) -> float:
        """Return for how many seconds the oldest mailable token has waited; 0 if there is none."""
        return max(0.0, (self.at - self.oldest.queued_at).total_seconds()) if self.oldest else 0.0

    @property
    def overdue(self) -> float:
        """Return for how many seconds a delivery has been due without a claim; 0 if none is due."""
        due = [one.first_due for one in self.unsettled if one.due]
        return max(0.0, (self.at - min(due)).total_seconds()) if due else 0.0


@dataclass(frozen=True, slots=True)
class History:
    """What was settled recently, and how long it took."""

    settled: Sequence[Settled]
    p50_ms: float | None
    p95_ms: float | None

    def of(self, state: str) -> list[Settled]:
        """Return the settled deliveries of this state by reason, the most frequent reason first."""
        return sorted(
            (one for one in self.settled if one.state == state), key=lambda one: (-one.last_day, one.reason or "")
        )

    @property
    def last_sent_at(self) -> datetime | None:
        """Return when the last mail was sent; None if there was none within a day."""
        return max((one.newest for one in self.of("sent")), default=None)


@dataclass(frozen=True, slots=True)
class Sessions:
    """The number of sessions of the programs at the database, by their application_name."""

    collectors: int
    senders: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of the queue: everything that status shows."""

    queue: str
    progress: QueueProgress
    history: History
    listen_result: ListenResult
    sessions: Sessions
    pulse: Sequence[int] = field(default=())
    """Mails sent in each of the last seconds, oldest first."""
    public: Sequence[str] = field(default=())
    """Functions that run as their owner, and that every role may execute."""
    outlook: Outlook = field(default_factory=Outlook)


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice among the deliveries that were not mailed. None means no restriction."""

    tokens: Sequence[int] | None = None
    account: str | None = None  # id, login or address
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class UnsentDelivery:
    """One delivery that failed or was skipped. If its token was deleted, it has no account."""

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
    """An account, and the number of its deliveries in each state."""

    account: int
    login: str
    states: MutableMapping[str, int]


@dataclass(frozen=True, slots=True)
class RetryResult:
    """Whether a token was put back, or why not."""

    token: int
    refused: str | None
    code: str = ""
    """The code of mailroom_retry_rows() for the reason in `refused`."""


@dataclass(frozen=True, slots=True)
class QueuePause:
    """Whether an operator has paused the queue."""

    at: datetime
    """The time of the database."""
    since: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class TokenHistory:
    """One token and its delivery, from insert to outcome (mailroom_show)."""

    id: int
    action: str | None
    listed: bool
    """Whether the action is in mailroom_actions."""
    created_at: datetime | None
    expires_at: datetime | None
    consumed_at: datetime | None
    stale: str | None
    """Why it may not be mailed; None if it may."""
    state: str | None
    """None: the queue has no delivery of it."""
    queued_at: datetime | None
    due_at: datetime | None
    """When to claim it, or when its lease ends."""
    is_due: bool | None
    holder: str | None
    attempts: int | None
    doubts: int | None
    error: str | None
    message_id: str | None
    settled_at: datetime | None
    ahead: int | None
    """How many mails with valid tokens are before it. This and the next three are None unless it waits for its turn."""
    wait_s: float | None
    """In how many seconds it is its turn; None if the rate is 0 or not known."""
    is_late: bool | None
    """Whether it expires before its turn."""
    rate_per_s: float | None


@dataclass(frozen=True, slots=True)
class AccountHistory:
    """An account with some of its tokens, newest first. The account of a token that is gone is not known."""

    id: int | None
    login: str | None
    email: str | None
    status: str | None
    token_count: int | None
    """How many tokens the account has; None if only the token was asked for."""
    tokens: Sequence[TokenHistory]


class Hidden:
    """Marks something that the role may not read."""


class Unmatched(NamedTuple):
    """What exists when nothing matched a choice. None: this was not chosen, or something matched."""

    tokens: Sequence[RetryResult]
    owners: Sequence[Owner] | Hidden | None = None
    history: History | None = None
