"""Pure: what a failure of PostgreSQL means, as data: the one table that both programs and all commands go by.

By SQLSTATE (PostgreSQL's documentation, appendix A), and by words for a connection that failed, of which
libpq hands over no SQLSTATE. What is not in the table is a fault of mailroom, or of what was built around it.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

GRANT: Final = "grant it (README, 'Database roles')"
MIGRATE: Final = "run 'mailroom-collect migrate' with a role that owns the database"
_CORRECT: Final = "correct MAILROOM_DATABASE_URL"
_QUEUE: Final = "set MAILROOM_QUEUE_NAME to a row of jobs"


class Meaning(Enum):
    """What a program does about a failure."""

    RETRY = "the statement was undone: run it again, on the same connection"
    RECONNECT = "this connection is of no more use: connect again, after a while"
    OPERATOR = "only a person can help"
    FAULT = "a statement that can't work: a programming error"


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failure means; `words` go before what the server said."""

    meaning: Meaning
    words: str = ""
    hint: str = ""


def _retry(words: str) -> Failure:
    return Failure(Meaning.RETRY, words)


def _reconnect(words: str = "", hint: str = "") -> Failure:
    return Failure(Meaning.RECONNECT, words, hint)


def _operator(words: str, hint: str) -> Failure:
    return Failure(Meaning.OPERATOR, words, hint)


LOST: Final = _reconnect("the database connection is lost")
FAULT: Final = Failure(Meaning.FAULT, "the database refused a statement", "please report it")
_OLD_SCHEMA: Final = _operator("the database schema is not this version's", MIGRATE)
_NO_QUEUE: Final = _operator("there is no such queue", _QUEUE)
_READ_ONLY: Final = _operator(
    "the database is read-only",
    "if it is a standby, name the primary in MAILROOM_DATABASE_URL; else set default_transaction_read_only to off",
)

BY_SQLSTATE: Final[dict[str, Failure]] = {
    # Undone, so that another transaction could go on, or by somebody's wish.
    "40001": _retry("a transaction was in the way of another one"),  # serialization_failure
    "40P01": _retry("a transaction was in the way of another one"),  # deadlock_detected
    "55P03": _retry("another transaction holds a lock for long"),  # lock_not_available
    "57014": _retry("a statement was cancelled"),  # query_canceled: by a timeout or a person
    # A plan or a type that is older than the schema: a new session knows neither.
    "0A000": _reconnect("the session is older than the schema"),  # feature_not_supported
    # The server or a pooler ends a session, or can't begin one now.
    "08": LOST,  # connection exceptions
    "25P03": LOST,  # idle_in_transaction_session_timeout
    "25P04": LOST,  # transaction_timeout
    "53": _reconnect("the server is short of resources"),
    "53300": _reconnect("the server takes no more connections", "raise max_connections, or see who has them"),
    "57P": LOST,  # the server shuts down, crashed, or starts up; idle_session_timeout
    "58": _reconnect("the server has a problem with its system", "see its log"),
    "XX": _reconnect("the server has a problem", "see its log"),
    # A person must change something.
    "25006": _READ_ONLY,  # read_only_sql_transaction
    "28": _operator("", f"{_CORRECT}, or let this role in"),  # invalid authorization
    "28P01": _operator("", "correct the password in MAILROOM_DATABASE_URL"),  # invalid_password
    "3D000": _operator("", "create it, or correct MAILROOM_DATABASE_URL"),  # invalid_catalog_name
    "3F000": _OLD_SCHEMA,  # invalid_schema_name
    "42501": _operator("the database role may not do this", GRANT),  # insufficient_privilege
    "42703": _OLD_SCHEMA,  # undefined_column
    "42704": _OLD_SCHEMA,  # undefined_object
    "42883": _OLD_SCHEMA,  # undefined_function
    "42P01": _OLD_SCHEMA,  # undefined_table
    "53100": _operator("the server's disk is full", "make room there"),  # disk_full
    "57P04": _operator("", "create it, or correct MAILROOM_DATABASE_URL"),  # database_dropped
    "P0002": _NO_QUEUE,  # no_data_found: what the steps raise
    "XX001": _operator("the database is damaged", "see the server's log"),  # data_corrupted
    "XX002": _operator("the database is damaged", "see the server's log"),  # index_corrupted
}
"""The whole SQLSTATE, or else its first three or two characters."""

BY_WORDS: Final[tuple[tuple[str, Failure], ...]] = (
    (r"password authentication failed|no password supplied", BY_SQLSTATE["28P01"]),
    (r'(database|role) ".*" does not exist', BY_SQLSTATE["3D000"]),
    (
        r"no pg_hba.conf entry|is not permitted to log in|authentication failed",
        _operator("", "let this role in, in pg_hba.conf"),
    ),
    (r"permission denied for database", _operator("", "grant CONNECT to this role")),
)
"""Words of the server or of libpq about a connection that failed; the first that fit."""

NO_CONNECTION: Final = _reconnect("", "look at MAILROOM_DATABASE_URL and whether the server runs")
"""A connection that failed for another reason."""


def by_sqlstate(sqlstate: str) -> Failure:
    """Return what a failed statement means."""
    for length in (5, 3, 2):
        if failure := BY_SQLSTATE.get(sqlstate[:length]):
            return failure
    return FAULT


def by_words(text: str) -> Failure:
    """Return what a failed connection means."""
    return next((failure for pattern, failure in BY_WORDS if re.search(pattern, text)), NO_CONNECTION)
