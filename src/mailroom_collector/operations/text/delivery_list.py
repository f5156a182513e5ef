"""Pure: what was not mailed, as text for people and as JSON for programs."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from mailroom_collector.operations.figures import Choice, Hidden, History, Owner, RetryResult, Unmatched, UnsentDelivery
from mailroom_collector.operations.text.durations import iso, stamp
from mailroom_collector.operations.text.status_line import Kind, StatusLine
from mailroom_collector.operations.text.table import cut, table, width, wrapped
from mailroom_runtime.words import counted, visible

_INDENT: Final = " " * 4
_NAMED: Final = 20
"""Up to so many tokens get a line each. More are only counted."""
_OF_THE_ROW: Final = ("its ", "InvalidParameter", "InvalidTemplateData")
"""The beginnings of reasons that are a fault of the row: mailroom's own ("its email has no @") and codes of SES.

The text is compared, because ledgers have such reasons since version 0.1. It only selects the advice for a person.
"""
SENT: Final = "sent"
"""The code of a token that was sent already (mailroom_retry_rows)."""
_REASONS: Final = 5
"""The number of reasons that are listed when none matched."""
_COLUMN = re.compile(r"its (email|login|secret|code)\b")
"""The beginning of mailroom's own reasons. It names the wrong column."""
_REMEDY: Final = {
    "email": "retry helps once the account's email is corrected",
    "login": "retry helps once the account's login is corrected",
    "secret": "retry can't help; insert a new token",
    "code": "retry can't help; insert a new token",
}
_ANEW: Final = (
    "if a mail never arrived, insert a new token:"
    " INSERT INTO tokens (action, account) SELECT action, account FROM tokens WHERE id = ..."
)


def text(failures: Sequence[UnsentDelivery], columns: int) -> Iterator[StatusLine]:
    """Yield two or more lines for each delivery: a head with time, token and account, then the reason.

    On a narrow terminal the head has no tries, then also no action. At last the account gets its own line.
    """
    heads = _heads(failures, columns)
    for one, head in zip(failures, heads, strict=True):
        yield StatusLine(cut(head, columns), Kind.HEAD)
        reason = f"{visible(one.reason or 'without a reason')}{_notes(one)}"
        parts = [reason] if _account(one) in head else [_account(one), reason]
        for part in parts:
            for line in wrapped(part, max(20, columns - len(_INDENT))):
                yield StatusLine(cut(_INDENT + line, columns))


def _heads(failures: Sequence[UnsentDelivery], columns: int) -> list[str]:
    heads: list[str] = []
    for fields in (_ALL, _WITHOUT_TRIES, _WITHOUT_ACTION, _WITHOUT_ACCOUNT):
        rows = [[field(one) for field in fields] for one in failures]
        heads = table(rows, "<><<<<"[: len(fields)])
        if all(width(head) <= columns for head in heads):
            break
    return heads


def _tries(one: UnsentDelivery) -> str:
    return counted(one.attempts, "try", "tries") if one.attempts else "never tried"


def _account(one: UnsentDelivery) -> str:
    return "" if one.account is None else f"{one.account} {visible(one.login or '')} <{visible(one.email or '')}>"


def _when(one: UnsentDelivery) -> str:
    return stamp(one.settled_at)


def _token(one: UnsentDelivery) -> str:
    return str(one.token)


def _action(one: UnsentDelivery) -> str:
    return one.action or ""


def _state(one: UnsentDelivery) -> str:
    return one.state


_ALL: Final = (_when, _token, _action, _state, _tries, _account)
_WITHOUT_TRIES: Final = (_when, _token, _action, _state, _account)
_WITHOUT_ACTION: Final = (_when, _token, _state, _account)
_WITHOUT_ACCOUNT: Final = (_when, _token, _state)


def _notes(one: UnsentDelivery) -> str:
    notes = []
    if one.doubts:
        notes.append("may have been sent")
    if one.stale is None:
        notes.append(remedy(one.reason or ""))
    elif one.stale not in (one.reason or ""):
        notes.append(f"now {one.stale}")
    return f" ({'; '.join(notes)})" if notes else ""


def remedy(reason: str) -> str:
    """Return what retry can do. A faulty row is refused again until somebody corrects it."""
    if fault := _COLUMN.match(reason):
        return _REMEDY[fault[1]]
    return "retry helps once that is corrected" if reason.startswith(_OF_THE_ROW) else "retry would try it again"


def as_json(one: UnsentDelivery) -> dict[str, Any]:
    """Return one delivery as JSON. docs/operations.md lists the keys."""
    return {
        "token": one.token,
        "action": one.action,
        "account": one.account,
        "login": one.login,
        "email": one.email,
        "state": one.state,
        "reason": one.reason,
        "attempts": one.attempts,
        "doubts": one.doubts,
        "queued_at": iso(one.queued_at),
        "settled_at": iso(one.settled_at),
        "pointless": one.stale,
    }


def verdicts(results: Iterable[RetryResult], *, dry_run: bool) -> Iterator[str]:
    """Yield the lines after a retry: how many tokens were put back, and why the others were not."""
    results = list(results)
    back = sum(one.refused is None for one in results)
    yield f"{'would put' if dry_run else 'put'} back {back:,} of {len(results):,}"
    refused = [one for one in results if one.refused is not None]
    if len(refused) <= _NAMED:
        for one in refused:
            yield f"token {one.token} {'would not be' if dry_run else 'is not'} put back: {one.refused}"
    else:
        for reason, count in Counter(one.refused for one in refused).most_common():
            are = "is" if count == 1 else "are"
            yield f"{counted(count, 'token')} {'would not be' if dry_run else f'{are} not'} put back: {reason}"
    if any(one.code == SENT for one in refused):
        yield _ANEW


def unmatched(choice: Choice, there: Unmatched) -> Iterator[str]:
    """Yield lines about what exists for the parts of a choice that matched nothing."""
    yield from _unmatched_tokens(there.tokens)
    if there.owners is not None and choice.account is not None:
        yield from _unmatched_account(visible(choice.account), there.owners)
    if there.history is not None and choice.reason is not None:
        yield _unmatched_reason(visible(choice.reason), there.history)


def _unmatched_tokens(results: Sequence[RetryResult]) -> Iterator[str]:
    if len(results) <= _NAMED:
        yield from (f"token {one.token} is not listed: {one.refused}" for one in results)
        return
    for reason, count in Counter(one.refused for one in results).most_common():
        yield f"{counted(count, 'token')} {'is' if count == 1 else 'are'} not listed: {reason}"


def _unmatched_account(whose: str, owners: Sequence[Owner] | Hidden) -> Iterator[str]:
    if isinstance(owners, Hidden):
        yield f"no delivery of an account '{whose}' matches; this role may not read whether the account exists"
        return
    if not owners:
        yield f"there is no account with the id, login or address '{whose}'"
    for one in owners:
        states = ", ".join(f"{count:,} {state}" for state, count in one.states.items())
        yield f"account {one.account} {visible(one.login)}: nothing matches; its deliveries: {states or 'none'}"


def _unmatched_reason(part: str, history: History) -> str:
    lately = sorted([*history.of("failed"), *history.of("skipped")], key=lambda one: -one.last_day)
    named = [f"{visible(one.reason or 'without a reason')} ({one.last_day:,})" for one in lately[:_REASONS]]
    if len(lately) > _REASONS:
        named.append(f"and {len(lately) - _REASONS:,} more")
    return f"no reason contains '{part}'; the reasons of the last day: {', '.join(named) or 'none'}"
