"""Pure: settings that mailroom sets in each session, because a role or a database may change what statements do.

mailroom leaves these alone: search_path, because it leads to the schema; default_transaction_read_only, because a
person may use it to stop all writing; and settings that only make statements slower or the server's log longer. The
functions of the schema set further ones.
"""

from typing import Final

PINS: Final[dict[str, str]] = {
    # How statements and parameters are read.
    "array_nulls": "on",
    "backslash_quote": "safe_encoding",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "plpgsql.extra_errors": "none",
    "restrict_nonsystem_relation_kind": "",
    # How answers are written.
    "bytea_output": "hex",
    "client_min_messages": "notice",
    "datestyle": "ISO, MDY",
    "extra_float_digits": "1",
    "intervalstyle": "postgres",
    "quote_all_identifiers": "off",
    "timezone": "UTC",
    # What a transaction is.
    "default_transaction_deferrable": "off",
    "default_transaction_isolation": "read committed",
    "synchronous_commit": "on",
    # When the server ends something.
    "exit_on_error": "off",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    # How it plans.
    "enable_bitmapscan": "on",
    "enable_indexonlyscan": "on",
    "enable_indexscan": "on",
    "enable_material": "on",
    "enable_nestloop": "on",
    "enable_sort": "on",
    "jit": "off",
}
"""The values to set. A setting that this version of PostgreSQL does not know is skipped."""

PIN: Final = """
SELECT pg_catalog.count(pg_catalog.set_config(name, wanted, false))
FROM ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[])) AS pins(name, wanted)
WHERE pg_catalog.pg_backend_pid() = %s
  AND CASE name WHEN 'synchronous_commit' THEN pg_catalog.current_setting(name) = 'off'
                ELSE pg_catalog.current_setting(name, true) <> wanted END
"""
"""Sets what differs, in one round trip. A synchronous_commit that also waits for a standby stays as it is.

Behind a pooler nothing is set, because other clients use the same connections. The process id shows that: a pooler
reports another one than the server.
"""
