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

PUBLIC_FUNCTIONS: Final = """
SELECT p.proname::text FROM pg_proc p
WHERE p.prosecdef AND starts_with(p.proname, 'mailroom_')
  AND p.pronamespace = (SELECT t.typnamespace FROM pg_type t WHERE t.oid = to_regtype('job_type'))
  AND has_function_privilege('public', p.oid, 'EXECUTE')
ORDER BY 1
"""
"""The functions that run as their owner and that every role may execute; there should be none."""


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
