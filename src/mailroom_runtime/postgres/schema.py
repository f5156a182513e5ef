"""Checks that mailroom's schema has this version, and that the queue exists."""

from collections.abc import Sequence
from typing import Final

from mailroom_runtime.errors import OperatorNeeded
from mailroom_runtime.postgres.connection import DeadlineConnection, translated
from mailroom_runtime.postgres.failures import MIGRATE
from mailroom_runtime.schema_name import qualified

INSTALLED_IN: Final = """
SELECT n.nspname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = 'jobs' AND c.relkind = 'r' AND a.attname = 'job_type' AND t.typname = 'job_type'
ORDER BY n.nspname
"""
"""The schemas of this database that have mailroom, of any version. A table `jobs` alone may be another program's."""
_FOUND: Final = f"""
SELECT ARRAY ({INSTALLED_IN}), to_regprocedure(%s) IS NOT NULL,
    (SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = to_regclass(%s)),
    (SELECT coalesce(array_agg(enumlabel::text ORDER BY enumsortorder), '{{}}') FROM pg_enum
     WHERE enumtypid = to_regtype(%s))
"""  # noqa: S608 - no text of others

PUBLIC_FUNCTIONS: Final = """
SELECT p.proname::text FROM pg_proc p
WHERE p.prosecdef AND starts_with(p.proname, 'mailroom_')
  AND p.pronamespace = (SELECT t.typnamespace FROM pg_type t WHERE t.oid = to_regtype('mailroom.job_type'))
  AND has_function_privilege('public', p.oid, 'EXECUTE')
ORDER BY 1
"""
"""The functions that run as their owner and that every role may execute. There should be none."""


def check_schema(connection: DeadlineConnection, queue: str, function: str) -> None:
    """Check in one round trip that the schema, the queue and `function` (with its argument types) exist.

    Raises OperatorNeeded, and what translated() raises.
    """
    names = tuple(qualified(text, connection.schema) for text in (function, "mailroom.jobs", "mailroom.job_type"))
    with translated():
        row = connection.execute(_FOUND, names).fetchone()
    installed_in, has_function, schema, queues = row or ([], False, None, [])
    if schema not in installed_in:
        database = f'database "{connection.info.dbname}"'
        if installed_in:
            raise OperatorNeeded(*elsewhere(database, connection.schema, installed_in))
        raise OperatorNeeded(f"{database} has no mailroom schema", MIGRATE)
    if not has_function:
        raise OperatorNeeded(f'the mailroom schema in database "{connection.info.dbname}" is outdated', MIGRATE)
    if queue not in queues:
        raise OperatorNeeded(
            f'there is no queue "{queue}" in this database',
            f"set MAILROOM_QUEUE_NAME to one of: {', '.join(queues)}",
        )


def elsewhere(database: str, schema: str | None, installed_in: Sequence[str]) -> tuple[str, str]:
    """Return message and hint for a mailroom that is in another schema than the expected one."""
    where = "in the schemas of the search path" if schema is None else f"in schema {schema}"
    found = f"{database} has no mailroom {where}; it is in schema {', '.join(installed_in)}"
    return found, f"set MAILROOM_SCHEMA_NAME={installed_in[0]}"
