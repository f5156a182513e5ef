"""Pure: what was not mailed, as text for people and as JSON for programs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from mailroom_collector.operations.durations import iso, stamp
from mailroom_collector.operations.figures import Failure, Verdict
from mailroom_collector.operations.report import Kind, Line
from mailroom_collector.operations.tables import cut, shown, table, width, wrapped

_INDENT: Final = " " * 4
_NAMED: Final = 20
"""Tokens that are told one by one; more are counted."""
_OF_THE_ROW: Final = ("its ", "InvalidParameter", "InvalidTemplateData")
"""How a reason begins that the row itself gave: mailroom's own ("its email has no @"), and SES's codes of that kind."""
SENT_ALREADY: Final = "already sent"
_ANEW: Final = (
    "who never got the mail needs a new token:"
    " INSERT INTO tokens (action, account) SELECT action, account FROM tokens WHERE id = ..."
)


def text(failures: Sequence[Failure], columns: int) -> Iterator[Line]:
    """Return two lines or more for each: who and when, and why.

    Where it is narrow, the heads leave out first the tries, then the action; then who it is has lines of its own.
    """
    heads = _heads(failures, columns)
    for one, head in zip(failures, heads, strict=True):
        yield Line(cut(head, columns), Kind.HEAD)
        reason = f"{shown(one.reason or 'without a reason')}{_notes(one)}"
        parts = [reason] if _account(one) in head else [_account(one), reason]
        for part in parts:
            for line in wrapped(part, max(20, columns - len(_INDENT))):
                yield Line(cut(_INDENT + line, columns))


def _heads(failures: Sequence[Failure], columns: int) -> list[str]:
    heads: list[str] = []
    for fields in (_ALL, _WITHOUT_TRIES, _WITHOUT_ACTION, _WITHOUT_WHO):
        rows = [[field(one) for field in fields] for one in failures]
        heads = table(rows, "<><<<<"[: len(fields)])
        if all(width(head) <= columns for head in heads):
            break
    return heads


def _tries(one: Failure) -> str:
    return "never tried" if not one.attempts else f"{one.attempts} {'try' if one.attempts == 1 else 'tries'}"


def _account(one: Failure) -> str:
    return "" if one.account is None else f"{one.account} {shown(one.login or '')} <{shown(one.email or '')}>"


def _when(one: Failure) -> str:
    return stamp(one.settled_at)


def _token(one: Failure) -> str:
    return str(one.token)


def _action(one: Failure) -> str:
    return one.action or ""


def _state(one: Failure) -> str:
    return one.state


_ALL: Final = (_when, _token, _action, _state, _tries, _account)
_WITHOUT_TRIES: Final = (_when, _token, _action, _state, _account)
_WITHOUT_ACTION: Final = (_when, _token, _state, _account)
_WITHOUT_WHO: Final = (_when, _token, _state)


def _notes(one: Failure) -> str:
    notes = []
    if one.doubts:
        notes.append("perhaps sent all the same")
    if one.stale is None and (one.reason or "").startswith(_OF_THE_ROW):
        notes.append("retry helps once that is corrected")
    elif one.stale is None:
        notes.append("retry would try it again")
    elif one.stale not in (one.reason or ""):
        notes.append(f"now {one.stale}")
    return f" ({'; '.join(notes)})" if notes else ""


def as_json(one: Failure) -> dict[str, Any]:
    """Return what docs/operations.md lists, key by key."""
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


def verdicts(told: Iterable[Verdict], *, dry_run: bool) -> Iterator[str]:
    """Return what became of tokens that were to be put back, line by line: how many, and why the others not."""
    told = list(told)
    back = sum(one.refused is None for one in told)
    yield f"{'would put' if dry_run else 'put'} back {back:,} of {len(told):,}"
    refused = [one for one in told if one.refused is not None]
    if len(refused) <= _NAMED:
        for one in refused:
            yield f"token {one.token} {'would not be' if dry_run else 'is not'} put back: {one.refused}"
    else:
        for reason, number in Counter(one.refused for one in refused).most_common():
            yield f"{number:,} {'would not be' if dry_run else 'are not'} put back: {reason}"
    if any(one.refused == SENT_ALREADY for one in refused):
        yield _ANEW
