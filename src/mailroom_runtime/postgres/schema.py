"""Sees that mailroom's schema, in this version, and the queue are there."""

from typing import Final

from mailroom_runtime.errors import OperatorNeeded
from mailroom_runtime.postgres.connection import DeadlineConnection, translated
from mailroom_runtime.postgres.failures import MIGRATE

_FOUND: Final = """
SELECT to_regclass('jobs') IS NOT NULL, to_regprocedure(%s) IS NOT NULL,
    (SELECT coalesce(array_agg(enumlabel::text ORDER BY enumsortorder), '{}') FROM pg_enum
     WHERE enumtypid = to_regtype('job_type'))
"""


def check_schema(connection: DeadlineConnection, queue: str, function: str) -> None:
    """See that schema, function (with the types of its arguments) and queue are there, in one round trip.

    Raises OperatorNeeded, and what translated() makes of a failure.
    """
    with translated():
        row = connection.execute(_FOUND, (function,)).fetchone()
    has_schema, has_function, queues = row or (False, False, [])
    if not has_schema:
        raise OperatorNeeded(f'database "{connection.info.dbname}" has no mailroom schema', MIGRATE)
    if not has_function:
        raise OperatorNeeded(f'the mailroom schema in database "{connection.info.dbname}" is outdated', MIGRATE)
    if queue not in queues:
        raise OperatorNeeded(
            f'there is no queue "{queue}" in this database',
            f"set MAILROOM_QUEUE_NAME to one of: {', '.join(queues)}",
        )
