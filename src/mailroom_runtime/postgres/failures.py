"""Pure: a table of what each failure of PostgreSQL means, for both programs and all commands.

The key is the SQLSTATE (PostgreSQL's documentation, appendix A). libpq gives no SQLSTATE when a connection fails, so
those keys are words. A failure that is not in the table means a bug in mailroom, or a change to its schema.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final

GRANT: Final = "grant it (docs/roles.md, 'Grants')"
MIGRATE: Final = "run 'mailroom-collect migrate' with a role that owns the database"
CORRECT: Final = "correct MAILROOM_DATABASE_URL"


class Meaning(Enum):
    """What a program does about a failure."""

    RETRY = "the server rolled the statement back because of other transactions: run it again at once"
    LATER = "the server rolled the statement back: run it again after a while, on the same connection"
    RECONNECT = "this connection can't be used any more: connect again after a while"
    OPERATOR = "only a person can help"
    FAULT = "the statement can't work: a bug"


@dataclass(frozen=True, slots=True)
class DatabaseFailure:
    """What a failure means. `words` is the beginning of the message; what the server said follows."""

    meaning: Meaning
    words: str = ""
    hint: str = ""


_retry = partial(DatabaseFailure, Meaning.RETRY)
_later = partial(DatabaseFailure, Meaning.LATER)
_reconnect = partial(DatabaseFailure, Meaning.RECONNECT)
_operator = partial(DatabaseFailure, Meaning.OPERATOR)

LOST: Final = _reconnect("the database connection is lost")
FAULT: Final = DatabaseFailure(
    Meaning.FAULT, "the database refused a statement", "please report it, if the schema is as released"
)
_OLD_SCHEMA: Final = _operator("the database schema is not this version's", MIGRATE)
_DAMAGED: Final = _operator("the database is damaged", "read the server's log")
_TLS: Final = _operator(
    "the connection can't be encrypted as MAILROOM_DATABASE_URL asks", "correct its sslmode or its certificates"
)
NO_DATABASE: Final = _operator("", "create it, or correct MAILROOM_DATABASE_URL")
NOT_LET_IN: Final = _operator("", "let this role in, in pg_hba.conf, or correct MAILROOM_DATABASE_URL")
PASSWORD: Final = _operator("", "correct the password in MAILROOM_DATABASE_URL")
TOO_MANY: Final = _reconnect(
    "the server takes no more connections", "raise max_connections, or find out which sessions use them"
)
ROW_SECURITY: Final = _operator(
    "row-level security hides rows", "let the owner of mailroom's functions bypass it (ALTER ROLE ... BYPASSRLS)"
)
READ_ONLY: Final = _operator(
    "the database is read-only",
    "if it is a standby, name the primary in MAILROOM_DATABASE_URL; else set default_transaction_read_only to off",
)

BY_SQLSTATE: Final[dict[str, DatabaseFailure]] = {
    # The server rolled it back because of other transactions, or because somebody cancelled it.
    "40": _retry("other transactions were in the way"),  # serialization_failure, deadlock_detected
    "55P03": _later("another transaction holds a lock for long"),  # lock_not_available
    "55006": _later("another session is using it"),  # object_in_use
    "57014": _later("a statement was cancelled, by a person or by a timeout"),  # query_canceled
    # The session has a plan or a type that is older than the schema, or it was left in a transaction.
    "0A000": _reconnect("the session is older than the schema"),  # feature_not_supported
    "25": _reconnect("the session is in an unexpected state"),  # invalid_transaction_state
    "26": _reconnect("the session is in an unexpected state"),  # a statement's name, which a pooler mixed up
    # The server or a pooler ended the session, or can't begin one now.
    "08": LOST,  # connection exceptions
    "25P03": LOST,  # idle_in_transaction_session_timeout
    "25P04": LOST,  # transaction_timeout
    "53": _reconnect("the server is short of resources", "read its log"),
    "53300": TOO_MANY,  # too_many_connections
    "57P": LOST,  # the server shuts down, crashed, or starts up; idle_session_timeout
    "58": _reconnect("the server has a problem with its system", "read its log"),
    "XX": _reconnect("the server has an internal problem", "read its log"),
    # Only a person can help.
    "25006": READ_ONLY,  # read_only_sql_transaction
    "28": NOT_LET_IN,  # invalid authorization
    "28P01": PASSWORD,  # invalid_password
    "3D000": NO_DATABASE,  # invalid_catalog_name
    "3F000": _OLD_SCHEMA,  # invalid_schema_name
    "42501": _operator("the database role may not do this", GRANT),  # insufficient_privilege
    "42703": _OLD_SCHEMA,  # undefined_column
    "42704": _OLD_SCHEMA,  # undefined_object
    "42883": _OLD_SCHEMA,  # undefined_function
    "42P01": _OLD_SCHEMA,  # undefined_table
    "53100": _operator("the server's disk is full", "make room there"),  # disk_full
    "57P04": NO_DATABASE,  # database_dropped
    "P0002": _operator("there is no such queue", "insert that row in jobs"),  # no_data_found: what a step raises
    "XX001": _DAMAGED,  # data_corrupted
    "XX002": _DAMAGED,  # index_corrupted
}
"""The key is a whole SQLSTATE, or its first three or two characters."""

BY_WORDS: Final[tuple[tuple[str, DatabaseFailure], ...]] = (
    (r"password authentication failed|no password supplied|password is an empty string", PASSWORD),
    (r"SASL authentication failed|SCRAM", PASSWORD),
    (r"(database|role) .* does not exist|no such (database|user)", NO_DATABASE),
    (r"no pg_hba.conf entry|pg_hba.conf rejects|not permitted to log in|authentication failed", NOT_LET_IN),
    (r"authentication method|bouncer config error", NOT_LET_IN),
    (r"permission denied for database", _operator("", "grant CONNECT to this role")),
    (
        r"not currently accepting connections|is disabled|invalid database",
        _operator("", "find out why it accepts no connections"),
    ),
    # Encryption: libpq's words and OpenSSL's.
    (r"certificate verify failed|does not match host name", _TLS),
    (r"root certificate|could not (read|load) .*certificate|private key", _TLS),
    (r"does not support SSL|SSL.* required|requires? SSL", _TLS),
    # The URL.
    (r"invalid .*(value|port|option)|unsupported startup parameter|unrecognized configuration", _operator("", CORRECT)),
    # Another try may succeed.
    (r"too many (clients|connections)|slots are reserved|no more connections allowed", TOO_MANY),
    (
        r"starting up|shutting down|in \w+ mode|not (yet )?accepting connections",
        _reconnect("the server is not ready"),
    ),
    (r"resolve host|translate host name", _reconnect("", "correct the host in MAILROOM_DATABASE_URL, if it stays so")),
    (r"session is read-only|hot standby mode", _reconnect("none of the servers is the primary now")),
)
"""Words of the server or of libpq about a connection that failed. The first pattern that matches counts."""

NO_CONNECTION: Final = _reconnect("", "check MAILROOM_DATABASE_URL and whether the server runs")
"""A connection failed for another reason."""


def by_sqlstate(sqlstate: str) -> DatabaseFailure:
    """Return what a failed statement means."""
    for length in (5, 3, 2):
        if failure := BY_SQLSTATE.get(sqlstate[:length]):
            return failure
    return FAULT


def by_words(text: str) -> DatabaseFailure:
    """Return what a failed connection means."""
    return next((failure for pattern, failure in BY_WORDS if re.search(pattern, text)), NO_CONNECTION)
