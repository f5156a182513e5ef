"""Finds out why a choice matched nothing: whether the account, the token or the reason exists."""

import re
from collections.abc import Sequence
from typing import Final

from mailroom_collector.operations.figures import Choice, Hidden, Owner, RetryResult, Unmatched, UnsentDelivery
from mailroom_collector.operations.queries.failures import put_back, read_failures
from mailroom_collector.operations.queries.overview import read_history
from mailroom_collector.operations.queries.session import translated_for_operator
from mailroom_runtime.errors import OperatorNeeded
from mailroom_runtime.postgres.connection import DeadlineConnection

_OTHERWISE: Final = "it failed or was skipped, but does not match the other choices"
_ID = re.compile(r"[0-9]{1,18}", re.ASCII)
_MAY_READ: Final = """
SELECT bool_and(has_table_privilege(name, 'SELECT'))
FROM (VALUES ('mailroom.accounts'), ('mailroom.tokens'), ('mailroom.deliveries')) AS t (name)
"""
_OWNERS: Final = """
SELECT a.id, a.login::text, d.state::text, count(d.token)
FROM mailroom.accounts a LEFT JOIN mailroom.tokens t ON t.account = a.id
    LEFT JOIN mailroom.deliveries d ON d.token = t.id AND d.queue = %(queue)s::mailroom.job_type
WHERE a.id IN (
    SELECT a.id FROM mailroom.accounts a WHERE a.login = %(whose)s::text
    UNION ALL SELECT a.id FROM mailroom.accounts a WHERE a.email = %(whose)s::text
    UNION ALL SELECT a.id FROM mailroom.accounts a WHERE a.id = %(id)s::bigint)
GROUP BY 1, 2, 3 ORDER BY 1, 4 DESC, 3
"""
"""Finds an account as mailroom_not_mailed() does."""


def read_unmatched(
    connection: DeadlineConnection, queue: str, choice: Choice, found: Sequence[UnsentDelivery]
) -> Unmatched:
    """Return what exists for the parts of a choice that matched nothing. Raises what translated_for_operator() raises.

    If this role may not read that, the result is empty: the command itself has succeeded already.
    """
    missing = sorted({*(choice.tokens or ())} - {one.token for one in found})
    try:
        with translated_for_operator():
            tokens = _tokens(connection, queue, missing) if missing else []
            if found:
                return Unmatched(tokens)
            return Unmatched(
                tokens,
                None if choice.account is None else _owners(connection, queue, choice.account),
                None if choice.reason is None else read_history(connection, queue),
            )
    except OperatorNeeded:
        return Unmatched([])


def _owners(connection: DeadlineConnection, queue: str, whose: str) -> list[Owner] | Hidden:
    """Return the accounts with that id, login or address, and the states of their deliveries."""
    allowed = connection.execute(_MAY_READ).fetchone()
    if not allowed or not allowed[0]:
        return Hidden()
    account_id = int(whose) if _ID.fullmatch(whose) else None
    rows = connection.execute(_OWNERS, {"queue": queue, "whose": whose, "id": account_id}).fetchall()
    owners: dict[int, Owner] = {}
    for account, login, state, deliveries in rows:
        owner = owners.setdefault(account, Owner(account, login, {}))
        if state:
            owner.states[state] = deliveries
    return list(owners.values())


def _tokens(connection: DeadlineConnection, queue: str, tokens: Sequence[int]) -> list[RetryResult]:
    """Return the reason why each of these tokens did not match."""
    given_up = {one.token for one in read_failures(connection, queue, Choice(tokens), None)}
    others = [token for token in tokens if token not in given_up]
    other = [RetryResult(token, _OTHERWISE) for token in sorted(given_up)]
    # A token that has failed only now is not refused, but it did not match either.
    return [
        *other,
        *(
            RetryResult(one.token, one.refused or _OTHERWISE)
            for one in put_back(connection, queue, others, dry_run=True)
        ),
    ]
