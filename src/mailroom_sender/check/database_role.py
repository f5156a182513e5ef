"""Asks the database what the sender's role may do. It changes nothing there."""

import contextlib
from typing import Any, Final

from mailroom_runtime.errors import MailroomError
from mailroom_runtime.postgres.connection import OPERATOR, DeadlineConnection, connect, translated
from mailroom_runtime.postgres.schema import INSTALLED_IN, PUBLIC_FUNCTIONS, elsewhere
from mailroom_runtime.postgres.url import DatabaseUrl, check_url
from mailroom_runtime.words import counted
from mailroom_sender.check.finding import Finding, Status
from mailroom_sender.input.action import LIST, KnownActions, MailAction

_CHECK: Final = "database"
_STEPS: Final = (
    "mailroom_list_actions",
    "mailroom_action_settings",
    "mailroom_acknowledge",
    "mailroom_begin_rows",
    "mailroom_settle_rows",
    "mailroom_give_back",
    "mailroom_share_rate",
    "mailroom_watch",
)
_TIMEOUT: Final = 10.0  # seconds

# It finds functions by name, because the types of their arguments may not exist. It looks for them in the schema of the
# setting, or in the search path.
_PROBE: Final = f"""
WITH place AS (SELECT oid, nspname FROM pg_namespace WHERE nspname = %(schema)s)
SELECT json_build_object(
    'role', current_user,
    'schema', (SELECT quote_ident(nspname) FROM place),
    'may_use', (SELECT has_schema_privilege(oid, 'USAGE') FROM place),
    'installed_in', ARRAY ({INSTALLED_IN}),
    'superuser', (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user),
    'steps', (SELECT coalesce(json_object_agg(p.proname, p.may), '{{}}') FROM (
        SELECT proname, bool_or(has_function_privilege(oid, 'EXECUTE')) AS may FROM pg_proc
        WHERE proname = ANY (%(steps)s)
          AND CASE WHEN %(schema)s::text IS NULL THEN pg_function_is_visible(oid)
                   ELSE pronamespace = (SELECT oid FROM place) END
        GROUP BY proname) p),
    'queue', EXISTS (SELECT FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
        WHERE t.typname = 'job_type' AND e.enumlabel = %(queue)s
          AND CASE WHEN %(schema)s::text IS NULL THEN pg_type_is_visible(t.oid)
                   ELSE t.typnamespace = (SELECT oid FROM place) END),
    'reads', (SELECT coalesce(json_agg(c.relname ORDER BY c.relname), '[]') FROM pg_class c
        WHERE c.relname IN ('accounts', 'deliveries', 'jobs', 'tokens')
          AND CASE WHEN %(schema)s::text IS NULL THEN pg_table_is_visible(c.oid)
                   ELSE c.relnamespace = (SELECT oid FROM place) END
          AND has_any_column_privilege(c.oid, 'SELECT')))
"""  # noqa: S608 - only constants
_PUBLIC: Final = f"SELECT count(*) FROM ({PUBLIC_FUNCTIONS}) p"  # noqa: S608 - a constant
_PAUSED: Final = (
    "SELECT coalesce(paused_reason, '') FROM mailroom.mailroom_watch(%(queue)s::mailroom.job_type)"
    " WHERE paused_at IS NOT NULL"
)
_ROW: Final = "SELECT EXISTS (SELECT FROM mailroom.jobs WHERE job_type::text = %(queue)s)"


def database(url: DatabaseUrl | str | None, queue: str) -> list[Finding]:
    """Return the findings about the schema, the queue and the role. The role should have only the rights it needs."""
    if url is None:
        return [
            Finding(
                _CHECK, Status.WARNING, "none: nothing is acknowledged, so a crash may lose mails or repeat them",
                "set MAILROOM_DATABASE_URL, with a role for the sender (docs/roles.md, 'Grants')",
            )
        ]  # fmt: skip
    try:
        found: dict[str, Any] = _ask(url, _PROBE, queue)
        findings = _faults(found, queue)
        is_fit = all(finding.status is not Status.TASK for finding in findings)
        if is_fit and "jobs" in found["reads"] and not _ask(url, _ROW, queue):
            findings = [_todo(f"queue {queue} has no row in jobs", "insert that row in jobs")]
        if is_fit:
            findings += _paused(queue, _ask(url, _PAUSED, queue)) + _public(_ask(url, _PUBLIC, queue))
    except MailroomError as error:
        return [_todo(error.message, error.hint)]
    return findings or [Finding(_CHECK, Status.OK, f"role {found['role']} may do the sender's steps in queue {queue}")]


def actions(url: DatabaseUrl | str | None) -> list[MailAction]:
    """Return the actions of the database. If it can't be read, return the two that come with mailroom."""
    known = KnownActions()
    if url is not None:
        with (
            contextlib.suppress(MailroomError),
            _connect(url) as connection,
            translated(),
        ):
            known.replace(connection.execute(LIST).fetchall())
    return list(known.by_number.values())


def _connect(url: DatabaseUrl | str) -> DeadlineConnection:
    if isinstance(url, str):
        check_url(url)
    return connect(url, OPERATOR, _TIMEOUT)


def _ask(url: DatabaseUrl | str, question: str, queue: str) -> Any:
    with _connect(url) as connection, translated():
        parameters = {"queue": queue, "steps": list(_STEPS), "schema": connection.schema}
        row = connection.execute(question, parameters).fetchone()
    return row[0] if row else None


def _faults(found: dict[str, Any], queue: str) -> list[Finding]:
    """Return the faults that the probe found; an empty list if there are none."""
    role, schema = found["role"], found["schema"]
    if schema and not found["may_use"]:
        return [_todo(f"role {role} may not use the schema {schema}", f"GRANT USAGE ON SCHEMA {schema} TO {role}")]
    if fault := _missing_steps(found) or _forbidden_steps(found):
        return [fault]
    if not found["queue"]:
        return [_todo(f"there is no queue {queue}", "set MAILROOM_QUEUE_NAME to a row of jobs")]
    surplus = "is a superuser" if found["superuser"] else "may read tokens" if "tokens" in found["reads"] else ""
    if not surplus:
        return []
    todo = "give the sender a role of its own (docs/roles.md)"
    return [Finding(_CHECK, Status.WARNING, f"role {role} {surplus}: more than the sender needs", todo)]


def _missing_steps(found: dict[str, Any]) -> Finding | None:
    missing = [name for name in _STEPS if name not in found["steps"]]
    if not missing:
        return None
    if len(missing) == len(_STEPS) and found["installed_in"]:
        return _todo(*elsewhere("the database", found["schema"], found["installed_in"]))
    todo = "run 'mailroom-collect migrate' with a role that owns the database"
    return _todo(f"the schema is missing or outdated: there is no {missing[0]}", todo)


def _forbidden_steps(found: dict[str, Any]) -> Finding | None:
    role, forbidden = found["role"], [name for name in _STEPS if not found["steps"][name]]
    if not forbidden:
        return None
    prefix = f"{found['schema']}." if found["schema"] else ""
    grant = f"GRANT EXECUTE ON FUNCTION {', '.join(prefix + name for name in forbidden)} TO {role}"
    return _todo(f"role {role} may not execute {', '.join(forbidden)}", grant)


def _paused(queue: str, reason: str | None) -> list[Finding]:
    if reason is None:
        return []
    why = f" ({reason})" if reason else ""
    return [_todo(f"queue {queue} is paused{why}: nothing is sent", "mailroom-collect resume")]


def _public(count: int) -> list[Finding]:
    if not count:
        return []
    found = f"every role may execute {counted(count, 'function')} of mailroom; a restore without rights causes that"
    return [Finding(_CHECK, Status.WARNING, found, "'mailroom-collect migrate' prints the statement that ends that")]


def _todo(found: str, todo: str) -> Finding:
    return Finding(_CHECK, Status.TASK, found, todo)
