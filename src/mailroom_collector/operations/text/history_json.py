"""Pure: what became of tokens, as JSON for programs. docs/operations.md lists the keys."""

from typing import Any

from mailroom_collector.operations.figures import AccountHistory, QueuePause, TokenHistory
from mailroom_collector.operations.text.durations import iso
from mailroom_collector.operations.text.next_step import next_step


def history_json(account: AccountHistory, queue: QueuePause) -> dict[str, Any]:
    """Return one account with its tokens. Times are in UTC (RFC 3339)."""
    return {
        "account": account.id,
        "login": account.login,
        "email": account.email,
        "status": account.status,
        "token_count": account.token_count,
        "tokens": [_token(one, queue) for one in account.tokens],
    }


def _token(token: TokenHistory, queue: QueuePause) -> dict[str, Any]:
    step = next_step(token, queue)
    return {
        "token": token.id,
        "action": token.action,
        "created_at": iso(token.created_at),
        "expires_at": iso(token.expires_at),
        "consumed_at": iso(token.consumed_at),
        "stale": token.stale,
        "state": token.state,
        "queued_at": iso(token.queued_at),
        "due_at": iso(token.due_at),
        "holder": token.holder,
        "attempts": token.attempts,
        "doubts": token.doubts,
        "error": token.error,
        "message_id": token.message_id,
        "settled_at": iso(token.settled_at),
        "ahead": token.ahead,
        "wait_s": None if token.wait_s is None else round(token.wait_s, 1),
        "late": token.is_late,
        "rate_per_s": None if token.rate_per_s is None else round(token.rate_per_s, 1),
        "next": {"code": step.code, "text": step.words},
    }
