"""Pure: the allowed names of mailroom's schema, and statements with the schema of the setting.

The source writes each statement for a schema named mailroom: `SELECT * FROM mailroom.jobs`. qualified() replaces that
name. A schema in the text needs no search_path, which a pooler in transaction mode would lose.
"""

from functools import cache
from typing import Final

SCHEMA: Final = "(?!pg_)[a-z_][a-z0-9_]{0,62}"
"""The allowed names of mailroom's schema. Some migrations can't quote it. PostgreSQL reserves names with pg_."""
SCHEMA_WANTED: Final = "1 to 63 of the characters a-z 0-9 _, not first a digit or pg_"
_WRITTEN: Final = "mailroom."


@cache
def qualified(text: str, schema: str | None) -> str:
    """Return a statement with this schema in place of `mailroom`. None: without a schema, so the search path decides.

    `schema` must match SCHEMA.
    """
    return text.replace(_WRITTEN, "" if schema is None else f'"{schema}".')
