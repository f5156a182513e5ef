"""Pure: the limit of mails to an account, and the newest of its requests.

- Nobody gets more mails of an action than `most_mails` allows. Tokens whose second mail the ledger counts as a doubt
  are judged apart.
- A token that was not mailed, and could have been, was skipped for one of two reasons, and the reason was true.
- No token is claimed and mailed when a newer one of its account and action waits.
"""

from typing import Final

from tests.storm.history import NEVER, History, Token

NEWER: Final = "a newer token took its place"
LIMIT: Final = "the account reached its limit of mails: "
_SLACK: Final = 0.05
"""Seconds by which SES's clock and PostgreSQL's may differ in the record."""
_STATEMENT: Final = 1.0
"""Seconds that a statement may take from its begin until it sees what others have committed."""


def over_the_limit(history: History) -> list[str]:
    """Return the accounts that got too many mails."""
    most, within = history.most
    found = []
    for (account, action), tokens in history.requests.items():
        if action != history.limited_action:
            continue
        times = sorted(history.mailed[token.id][0] for token in tokens if _counts(history, token))
        for first, last in zip(times, times[most:], strict=False):
            if last - first < within - _SLACK:
                found.append(f"account {account}: {most + 1} mails within {last - first:.2f} s")
                break
    return found


def _counts(history: History, token: Token) -> bool:
    """Return whether SES took one mail of it, and the ledger knows that. Else it is a doubt, which is judged apart."""
    return token.state == "sent" and len(history.mailed.get(token.id, [])) == 1


def why_not_mailed(history: History, token: Token) -> str:
    """Return what is wrong with a token that was not mailed and is not stale; "" if it was skipped rightly."""
    if token.state == "skipped" and token.error.startswith(NEWER):
        return "" if _was_replaced(history, token) else "skipped, but no newer token was to be mailed"
    if token.state == "skipped" and token.error.startswith(LIMIT):
        return "" if _was_limited(history, token) else "skipped, but its account had not reached its limit"
    return f"{token.state} {token.error}".strip()


def _was_replaced(history: History, token: Token) -> bool:
    """Return whether a newer token could have been mailed at some moment of the statement that skipped this one."""
    return any(
        not _is_given_up(newer, token.settled - _STATEMENT)
        and newer.stale_since > token.settled
        and newer.expires > token.settled
        for newer in history.requests[token.account, token.action]
        if newer.id > token.id
    )


def _is_given_up(token: Token, at: float) -> bool:
    return token.state in ("failed", "skipped") and token.settled <= at


def _was_limited(history: History, token: Token) -> bool:
    most, within = history.most
    others = [other for other in history.requests[token.account, token.action] if other.id != token.id]
    return sum(_is_counted(history, other, token.settled, within) for other in others) >= most


def _is_counted(history: History, token: Token, at: float, within: float) -> bool:
    """Return whether a mail was being sent at a time, or had been sent within these seconds before it."""
    steps = [step for step in history.steps_of.get(token.id, []) if step.at <= at + _STATEMENT]
    if history.state_at(token.id, at) == "sending" or any(s.state == "sending" and s.at > at for s in steps):
        return True
    return any(step.state == "sent" and step.at > at - within - _SLACK for step in steps)


def claimed_though_newer(history: History) -> list[str]:
    """Return the tokens that were mailed, and claimed when a newer one could have been mailed instead."""
    found = []
    for tokens in history.requests.values():
        for place, older in enumerate(tokens):
            claims = [step.at for step in history.steps_of.get(older.id, []) if step.state == "claimed"]
            newer = (newer for newer in tokens[place + 1 :] if any(_certainly_waits(newer, at) for at in claims))
            if older.id in history.mailed and (first := next(newer, None)):
                found.append(f"token {older.id}: claimed when token {first.id} was waiting or sent")
    return found


def _certainly_waits(token: Token, at: float) -> bool:
    """Return whether a token was committed and could be mailed all the time that a statement takes."""
    is_known = token.stale_since < NEVER or not token.is_stale
    ends = at + _STATEMENT
    return (
        is_known and token.committed < at and token.stale_since > ends < token.expires and not _is_given_up(token, ends)
    )
