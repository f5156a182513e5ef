"""Reads the state of the queue (migrations/3_operations.up.sql, 5_guards.up.sql)."""

from mailroom_collector.operations.figures import History, Oldest, QueueProgress, Sessions, Settled, Unsettled
from mailroom_runtime.errors import OperatorNeeded
from mailroom_runtime.postgres.connection import DeadlineConnection
from mailroom_runtime.postgres.schema import PUBLIC_FUNCTIONS


def read_progress(connection: DeadlineConnection, queue: str) -> QueueProgress:
    """Read what is not settled. Raises OperatorNeeded, and psycopg's errors."""
    row = connection.execute(
        "SELECT at, acknowledged_at, attended, paused_at, paused_reason"
        " FROM mailroom.mailroom_queue_status(%s::mailroom.job_type)",
        (queue,),
    ).fetchone()
    if row is None:
        raise OperatorNeeded(f'the queue "{queue}" has no row in jobs', "insert one, with this name as its job_type")
    unsettled = connection.execute(
        "SELECT state, holder, due, deliveries, first_due, last_due"
        " FROM mailroom.mailroom_unsettled(%s::mailroom.job_type)",
        (queue,),
    ).fetchall()
    oldest = connection.execute(
        "SELECT token, queued_at, expires_at FROM mailroom.mailroom_oldest(%s::mailroom.job_type)", (queue,)
    ).fetchone()
    at, acknowledged_at, fast_polling, paused_at, paused_reason = row
    return QueueProgress(
        at, acknowledged_at, fast_polling, [Unsettled(*one) for one in unsettled], Oldest(*oldest) if oldest else None,
        paused_at, paused_reason,
    )  # fmt: skip


def read_history(connection: DeadlineConnection, queue: str) -> History:
    """Read what was settled within a day, and the latency within an hour. Raises psycopg's errors."""
    settled = connection.execute(
        "SELECT state, reason, last_minute, last_hour, last_day, doubts, newest"
        " FROM mailroom.mailroom_recent(%s::mailroom.job_type)",
        (queue,),
    ).fetchall()
    row = connection.execute(
        "SELECT l[1], l[2] FROM mailroom.mailroom_latency(%s::mailroom.job_type, '{0.5,0.95}') AS l", (queue,)
    ).fetchone()
    return History([Settled(*one) for one in settled], *(row or (None, None)))


def read_pulse(connection: DeadlineConnection, queue: str, seconds: int) -> list[int]:
    """Read the number of mails sent in each of the last seconds. Raises psycopg's errors."""
    rows = connection.execute(
        "SELECT mailroom.mailroom_pulse(%s::mailroom.job_type, %s::integer)", (queue, seconds)
    ).fetchall()
    return [mails for (mails,) in rows]


def read_public(connection: DeadlineConnection) -> list[str]:
    """Read the functions that run as their owner and that every role may execute. Raises psycopg's errors.

    There are none, unless the database was restored without its rights (pg_restore --no-acl).
    """
    rows = connection.execute(PUBLIC_FUNCTIONS).fetchall()
    return [name for (name,) in rows]


def read_sessions(connection: DeadlineConnection) -> Sessions:
    """Read how many sessions of the programs are connected to this database. Raises psycopg's errors.

    Every role sees the application_name of all sessions. Sessions of an operator's commands have another one.
    """
    row = connection.execute(
        "SELECT count(*) FILTER (WHERE application_name = 'mailroom-collect'),"
        " count(*) FILTER (WHERE application_name = 'mailroom-send')"
        " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ).fetchone()
    return Sessions(*(row or (0, 0)))
