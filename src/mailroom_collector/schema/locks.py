"""Pure: the locks of a migration, and which locks conflict with them.

A step first locks all tables that existed before it, with one time limit for all. Otherwise each of its statements
could wait, and sign-ups would wait behind the locks that the step already holds. A sign-up takes its locks in the same
order.
"""

import zlib
from typing import Final

_SALT: Final = 1486364155  # golang-migrate, database/util.go
_ALONE: Final = "ACCESS EXCLUSIVE"

LOCKS: Final[dict[str, dict[str, str]]] = {
    "0_init.up": {},
    "0_init.down": {"accounts": _ALONE, "tokens": _ALONE, "jobs": _ALONE},
    "1_ledger.up": {"accounts": _ALONE, "tokens": _ALONE, "jobs": _ALONE},
    "1_ledger.down": {"tokens": _ALONE, "deliveries": _ALONE, "jobs": _ALONE},
    "2_steps.up": {},
    "2_steps.down": {},
    "3_operations.up": {"deliveries": _ALONE},
    "3_operations.down": {"deliveries": _ALONE},
    "4_actions.up": {"tokens": _ALONE, "deliveries": "ROW EXCLUSIVE", "jobs": "ACCESS SHARE"},
    # EXCLUSIVE, because the step changes rows that other transactions may have locked.
    "4_actions.down": {"tokens": _ALONE, "deliveries": "EXCLUSIVE", "mailroom_actions": _ALONE},
    "5_guards.up": {"deliveries": _ALONE, "jobs": _ALONE},
    "5_guards.down": {"deliveries": _ALONE, "jobs": _ALONE},
    "6_order.up": {
        "accounts": "ACCESS SHARE",
        "tokens": _ALONE,
        "deliveries": _ALONE,
        "jobs": "ACCESS SHARE",
        "mailroom_actions": _ALONE,
    },
    "6_order.down": {
        "tokens": _ALONE,
        "deliveries": _ALONE,
        "jobs": "ACCESS SHARE",
        "mailroom_actions": _ALONE,
        "mailroom_senders": _ALONE,
    },
}
"""For each step, its tables and the mode of the lock on each."""

_MODES: Final = (
    "ACCESS SHARE",
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    _ALONE,
)
_CONFLICTS: Final = ("7", "67", "4567", "34567", "23567", "234567", "1234567", "01234567")
"""For each mode, the places of the modes that conflict with it (PostgreSQL's documentation, table 13.2)."""


def conflicting(mode: str) -> list[str]:
    """Return the modes that conflict with this one, as pg_locks names them."""
    places = _CONFLICTS[_MODES.index(mode)]
    return [as_pg_locks_says(_MODES[int(place)]) for place in places]


def as_pg_locks_says(mode: str) -> str:
    """Return a mode as pg_locks names it: AccessExclusiveLock."""
    return mode.title().replace(" ", "") + "Lock"


def advisory_key(*names: str) -> int:
    """Return the key of golang-migrate's advisory lock for these names (database/util.go): a salted CRC-32."""
    return zlib.crc32("\0".join(names).encode()) * _SALT & 0xFFFFFFFF


def advisory_keys(database: str, schema: str, table: str) -> list[int]:
    """Return the keys of the advisory locks of a migration.

    Two are golang-migrate's. The command puts the slash of the URL before the database's name; the library does not.
    The third is that of mailroom 0.1 and 0.2, which used the order of golang-migrate's first versions.
    """
    return [
        advisory_key(schema, table, f"/{database}"),
        advisory_key(schema, table, database),
        advisory_key(f"/{database}", schema, table),
    ]
