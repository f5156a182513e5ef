"""Pure: the state of the queue as JSON for programs."""

from typing import Any, Final

from mailroom_collector.operations.figures import History, Oldest, Overview, QueueProgress, Settled, Unsettled
from mailroom_collector.operations.text.durations import iso
from mailroom_collector.report.outlook import ActionOutlook

_PERIODS: Final = ("minute", "hour", "day")


def status_json(overview: Overview) -> dict[str, Any]:
    """Return the state as JSON. docs/operations.md lists the keys. Times are in UTC (RFC 3339)."""
    progress, history = overview.progress, overview.history
    return {
        "queue": overview.queue,
        "time": iso(progress.at),
        **_unsettled(progress),
        "rate_per_s": _rounded(overview.outlook.rate_per_s),
        "actions": [_action(one) for one in overview.outlook.actions],
        **_settled(history),
        "leases": [_lease(one) for one in progress.leases],
        "acknowledged_at": iso(progress.acknowledged_at),
        "attended": progress.fast_polling,
        "paused": progress.paused_at and {"since": iso(progress.paused_at), "reason": progress.paused_reason},
        "public_functions": list(overview.public),
        "connected": {"collectors": overview.sessions.collectors, "senders": overview.sessions.senders},
        "notifications": {
            "arrive": overview.listen_result.arrives,
            "ms": _rounded(overview.listen_result.ms),
            "problem": overview.listen_result.problem or None,
        },
    }


def _unsettled(progress: QueueProgress) -> dict[str, Any]:
    return {
        "waiting": {
            "due": progress.count("pending", due=True),
            "later": progress.count("pending", due=False),
            "lapsed": progress.lapsed,
        },
        "claimed": progress.count("claimed", due=False),
        "sending": progress.count("sending", due=False),
        "oldest": progress.oldest and _oldest(progress.oldest, progress),
        "overdue_s": round(progress.overdue, 3),
    }


def _oldest(oldest: Oldest, progress: QueueProgress) -> dict[str, Any]:
    return {
        "token": oldest.token,
        "queued_at": iso(oldest.queued_at),
        "expires_at": iso(oldest.expires_at),
        "age_s": round(progress.age, 3),
        "expires_in_s": round((oldest.expires_at - progress.at).total_seconds(), 3),
    }


def _action(one: ActionOutlook) -> dict[str, Any]:
    return {
        "action": one.action,
        "waiting": one.waiting,
        "claimed": one.claimed,
        "oldest_age_s": _rounded(one.oldest_s),
        "late": one.late,
        "new_wait_s": _rounded(one.new_wait_s),
        "late_from": iso(one.late_from),
    }


def _settled(history: History) -> dict[str, Any]:
    return {
        **{
            state: {period: sum(getattr(one, f"last_{period}") for one in history.of(state)) for period in _PERIODS}
            for state in ("sent", "emitted", "failed", "skipped")
        },
        "reasons": [_reason(one) for state in ("failed", "skipped") for one in history.of(state)],
        "doubts": {"day": sum(one.doubts for one in history.settled)},
        "latency_ms": {"p50": _rounded(history.p50_ms), "p95": _rounded(history.p95_ms)},
        "last_sent_at": iso(history.last_sent_at),
    }


def _reason(settled: Settled) -> dict[str, Any]:
    counts = {period: getattr(settled, f"last_{period}") for period in _PERIODS}
    return {"state": settled.state, "reason": settled.reason, **counts}


def _lease(held: Unsettled) -> dict[str, Any]:
    return {
        "holder": held.holder,
        "state": held.state,
        "deliveries": held.deliveries,
        "until": iso(held.last_due),
        "lapsed": held.due,
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 1)
