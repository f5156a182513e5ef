"""Pure: what was not mailed, as text for people and as JSON for programs."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from mailroom_collector.operations.durations import iso, stamp
from mailroom_collector.operations.figures import Failure, Verdict
from mailroom_collector.operations.report import Kind, Line
from mailroom_collector.operations.tables import cut, shown, table

_INDENT: Final = " " * 4
_NAMED: Final = 20
"""Tokens that are told one by one; more are counted."""
SENT_ALREADY: Final = "already sent"
_ANEW: Final = (
    "who never got the mail needs a new token:"
    " INSERT INTO tokens (action, account) SELECT action, account FROM tokens WHERE id = ..."
)


def text(failures: Sequence[Failure], columns: int) -> Iterator[Line]:
    """Return two lines or more for each: who and when, and why."""
    heads = table([_head(one) for one in failures], "<><<<<")
    for head, one in zip(heads, failures, strict=True):
        yield Line(cut(head, columns), Kind.HEAD)
        reason = f"{shown(one.reason or 'without a reason')}{_notes(one)}"
        for line in textwrap.wrap(reason, max(20, columns - len(_INDENT))):
            yield Line(cut(_INDENT + line, columns))


def _head(one: Failure) -> list[str]:
    tries = "never tried" if not one.attempts else f"{one.attempts} {'try' if one.attempts == 1 else 'tries'}"
    account = "" if one.account is None else f"{one.account} {shown(one.login or '')} <{shown(one.email or '')}>"
    return [stamp(one.settled_at), str(one.token), one.action or "", one.state, tries, account]


def _notes(one: Failure) -> str:
    notes = []
    if one.doubts:
        notes.append("perhaps sent all the same")
    if one.stale is None:
        notes.append("retry would mail it")
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
