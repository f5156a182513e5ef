"""Pure: settings of a role or a database that would change what a session's statements do, as data.

These are not pinned: search_path, which says where the schema is; default_transaction_read_only, by which a person
stops all writing; and settings that only make a statement slower or the server's log longer. The functions of the
schema have further settings of their own.
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
"""The values that are wanted. A setting that a version of PostgreSQL does not know is skipped."""

PIN: Final = """
SELECT pg_catalog.count(pg_catalog.set_config(name, wanted, false))
FROM ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[])) AS pins(name, wanted)
WHERE pg_catalog.pg_backend_pid() = %s
  AND CASE name WHEN 'synchronous_commit' THEN pg_catalog.current_setting(name) = 'off'
                ELSE pg_catalog.current_setting(name, true) <> wanted END
"""
"""Sets what differs, in one round trip. A synchronous_commit that also waits for a standby is as good as `on`.

Nothing is set behind a pooler, because others use its connections too; a pooler gives sessions other process ids.
"""
