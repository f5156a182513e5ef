"""Figures of the ledger as metric families for Prometheus, each with its name, help and labels."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from mailroom_collector.operations.figures import ListenResult, QueueProgress
from mailroom_collector.operations.metrics.scrapers import Series
from mailroom_collector.operations.metrics.settlement_counts import BOUNDS, SettlementCounts
from mailroom_collector.report.outlook import Outlook

DOUBTS: Final = ("doubts", "")
LATENCY: Final = ("latency", "")
"""The keys of the counters that have no state and reason."""


def build(version: str) -> Metric:
    """Return the version."""
    family = InfoMetricFamily("mailroom_build", "The version of this exporter.")
    family.add_metric([], {"version": version})
    return family


class QueueFamilies:
    """The families of one queue."""

    def __init__(self, queue: str) -> None:
        self._queue = queue

    def up(self, *, answered: bool) -> Metric:
        """Return whether the ledger answered."""
        return self._gauge("up", "Whether the ledger answered the last question: 1, or 0.", answered)

    def totals(self, counts: SettlementCounts, at_zero: Collection[Series]) -> Iterator[Metric]:
        """Yield the counters of what was settled. The series in `at_zero` get 0 instead of their value."""
        yield self._settled(counts, at_zero)
        doubts = CounterMetricFamily(
            "mailroom_doubts",
            "Calls to SES without an answer, whose mails may have been sent twice, of deliveries settled since this"
            " exporter started.",
            labels=["queue"],
        )
        doubts.add_metric([self._queue], 0 if DOUBTS in at_zero else counts.doubts)
        yield doubts
        yield self._latency(SettlementCounts() if LATENCY in at_zero else counts)
        if counts.last_sent_at is not None:
            yield self._gauge(
                "last_sent_timestamp_seconds", "When a mail was last recorded as sent, within a day before the start.",
                counts.last_sent_at.timestamp(),
            )  # fmt: skip

    def now(self, progress: QueueProgress, took: float) -> Iterator[Metric]:
        """Yield the state of the queue. `took`: seconds that the ledger needed to answer."""
        yield self._unsettled(progress)
        yield self._holders(progress)
        yield self._gauge(
            "oldest_mailable_age_seconds", "Age of the oldest token that may still be mailed; 0 without any.",
            progress.age,
        )  # fmt: skip
        if progress.oldest is not None:
            yield self._gauge(
                "oldest_mailable_expiry_timestamp_seconds", "When the oldest token expires that may still be mailed.",
                progress.oldest.expires_at.timestamp(),
            )  # fmt: skip
        yield self._gauge(
            "overdue_seconds", "For how long something is due that no collector claimed; 0 without any.",
            progress.overdue,
        )  # fmt: skip
        yield self._gauge(
            "attended", "Whether a collector polls fast, so that inserts don't notify: 1, or 0.",
            progress.fast_polling,
        )  # fmt: skip
        if progress.acknowledged_at is not None:
            yield self._gauge(
                "acknowledged_timestamp_seconds", "When a sender last recorded that it acknowledges.",
                progress.acknowledged_at.timestamp(),
            )  # fmt: skip
        yield self._gauge(
            "paused", "Whether an operator has paused the queue: 1, or 0.", progress.paused_at is not None
        )
        yield self._gauge("ledger_answer_seconds", "How long the ledger took for its last answer.", took)

    def outlook(self, outlook: Outlook) -> Iterator[Metric]:
        """Yield what waits, by action. What is not known has no sample."""
        listed = [(one.action, one) for one in outlook.actions if one.action is not None]
        yield self._by(
            "action", "deliveries_waiting", "Deliveries that no sender has begun, or that are to be claimed again.",
            [(action, one.waiting) for action, one in listed],
        )  # fmt: skip
        yield self._by(
            "action", "deliveries_late", "Waiting deliveries that expire before their turn at the present rate.",
            [(action, one.late) for action, one in listed],
        )  # fmt: skip
        yield self._by(
            "action", "oldest_waiting_age_seconds", "Age of the oldest valid token that waits; 0 without any.",
            [(action, one.oldest_s or 0.0) for action, one in listed],
        )  # fmt: skip
        yield self._by(
            "action", "new_token_wait_seconds", "How long a single token would wait that is inserted now.",
            [(action, one.new_wait_s) for action, one in listed if one.new_wait_s is not None],
        )  # fmt: skip

    def notifications(self, result: ListenResult) -> Iterator[Metric]:
        """Yield whether notifications arrive, if that was tested."""
        if result.arrives is not None:
            yield self._gauge(
                "notifications_arrive", "Whether a notification of another session arrived: 1, or 0.", result.arrives
            )
        if result.ms is not None:
            yield self._gauge(
                "notification_echo_seconds", "How long the last notification took to arrive.", result.ms / 1000
            )

    def _gauge(self, name: str, documentation: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"mailroom_{name}", documentation, labels=["queue"])
        family.add_metric([self._queue], value)
        return family

    def _by(self, label: str, name: str, documentation: str, values: Iterable[tuple[str, float]]) -> Metric:
        family = GaugeMetricFamily(f"mailroom_{name}", documentation, labels=["queue", label])
        for key, value in values:
            family.add_metric([self._queue, key], value)
        return family

    def _settled(self, counts: SettlementCounts, at_zero: Collection[Series]) -> Metric:
        family = CounterMetricFamily(
            "mailroom_deliveries_settled",
            "Deliveries settled since this exporter started, by state and reason.",
            labels=["queue", "state", "reason"],
        )
        for (state, reason), number in sorted(counts.settled.items()):
            family.add_metric([self._queue, state, reason], 0 if (state, reason) in at_zero else number)
        return family

    def _latency(self, counts: SettlementCounts) -> Metric:
        family = HistogramMetricFamily(
            "mailroom_commit_to_sent_seconds",
            "From the begin of the transaction that inserted a token until its mail was recorded as sent.",
            labels=["queue"],
        )
        upto, buckets = 0, []
        for bound, mails in zip([*map(str, BOUNDS), "+Inf"], counts.buckets, strict=True):
            upto += mails
            buckets.append((bound, float(upto)))
        family.add_metric([self._queue], buckets, counts.seconds)
        return family

    def _unsettled(self, progress: QueueProgress) -> Metric:
        return self._by(
            "state",
            "deliveries_unsettled",
            "Deliveries that are not settled: waiting (due, later), held (claimed, sending), or held under a lease that"
            " ran out (lapsed).",
            [
                ("due", progress.count("pending", due=True)),
                ("later", progress.count("pending", due=False)),
                ("claimed", progress.count("claimed", due=False)),
                ("sending", progress.count("sending", due=False)),
                ("lapsed", progress.lapsed),
            ],
        )

    def _holders(self, progress: QueueProgress) -> Metric:
        states = ("claimed", "sending")
        return self._by(
            "state",
            "lease_holders",
            "Processes that hold deliveries, by state.",
            [(state, sum(one.state == state and not one.due for one in progress.leases)) for state in states],
        )
