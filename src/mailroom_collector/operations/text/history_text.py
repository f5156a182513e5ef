"""Pure: what became of tokens, as text for people."""

from collections.abc import Iterator, Sequence
from typing import Final

from mailroom_collector.operations.figures import AccountHistory, QueuePause, TokenHistory
from mailroom_collector.operations.text.durations import format_duration, stamp
from mailroom_collector.operations.text.next_step import next_step
from mailroom_collector.operations.text.status_line import Kind, StatusLine
from mailroom_collector.operations.text.table import cut, pad, wrapped
from mailroom_runtime.words import counted, visible

_NAME: Final = 12
"""The width of the labels, with the indent."""


def history_text(accounts: Sequence[AccountHistory], queue: QueuePause, columns: int) -> Iterator[StatusLine]:
    """Yield the lines. Each has at most so many columns, and each token ends with what to do."""
    for place, account in enumerate(accounts):
        if place:
            yield StatusLine("")
        yield StatusLine(cut(_account(account), columns), Kind.HEAD)
        for token in account.tokens:
            yield StatusLine("")
            yield from (line._replace(text=cut(line.text, columns)) for line in _token(token, queue, columns))
        yield from (StatusLine(cut(line, columns)) for line in _rest(account))


def _account(account: AccountHistory) -> str:
    if account.id is None:
        return "the account is not known, because the token is gone"
    return f"account {account.id} {visible(account.login or '')} <{visible(account.email or '')}>, {account.status}"


def _rest(account: AccountHistory) -> Iterator[str]:
    if account.token_count is None:
        return
    more = account.token_count - len(account.tokens)
    if not account.token_count:
        yield "  it has no token: the application inserted none, or has deleted it"
    elif more > 0:
        yield ""
        yield f"  {counted(more, 'older token')} not shown; see them with --limit"


def _token(token: TokenHistory, queue: QueuePause, columns: int) -> Iterator[StatusLine]:
    yield StatusLine(f"token {token.id}  {visible(token.action or '')}  {token.state or 'no delivery'}", Kind.HEAD)
    for name, value in (
        ("inserted", _time(token)),
        ("expires", _expiry(token, queue)),
        ("delivery", _delivery(token, queue)),
        ("error", visible(token.error or "")),
        ("message id", visible(token.message_id or "")),
        ("next", next_step(token, queue).words),
    ):
        if value:
            yield from _words(name, value, columns)


def _words(name: str, value: str, columns: int) -> Iterator[StatusLine]:
    for place, line in enumerate(wrapped(value, max(20, columns - _NAME - 2))):
        yield StatusLine(f"  {pad('' if place else name, _NAME)}{line}")


def _time(token: TokenHistory) -> str:
    moment = token.queued_at or token.created_at
    return "" if moment is None else f"{stamp(moment)} UTC"


def _expiry(token: TokenHistory, queue: QueuePause) -> str:
    if token.expires_at is None:
        return ""
    left = (token.expires_at - queue.at).total_seconds()
    when = f"in {format_duration(left)}" if left > 0 else f"{format_duration(-left)} ago"
    used = "" if token.consumed_at is None else f"; used at {stamp(token.consumed_at)} UTC"
    return f"{stamp(token.expires_at)} UTC ({when}){used}"


def _delivery(token: TokenHistory, queue: QueuePause) -> str:
    if token.state is None:
        return ""
    parts = [counted(token.attempts, "try", "tries") if token.attempts else "never tried"]
    if token.doubts:
        parts.append(f"{counted(token.doubts, 'call')} without an answer")
    if token.state in ("claimed", "sending") and token.due_at is not None:
        left = (token.due_at - queue.at).total_seconds()
        lease = f"until {stamp(token.due_at)} UTC" if left > 0 else f"lease ran out {format_duration(-left)} ago"
        parts.append(f"held by {visible(token.holder or '?')}, {lease}")
    if token.settled_at is not None:
        parts.append(f"{token.state} at {stamp(token.settled_at)} UTC")
    return "; ".join(parts)
