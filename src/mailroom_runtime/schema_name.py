"""Pure: what the schema of the setting may be called, and the names of a statement in it.

Statements are written as for a schema named mailroom: `SELECT * FROM mailroom.jobs`. A schema in the text needs no
setting of the session, which a pooler in transaction mode would lose, and no right to one.
"""

from functools import cache
from typing import Final

SCHEMA: Final = "(?!pg_)[a-z_][a-z0-9_]{0,62}"
"""What a schema of mailroom's may be called: some migrations can't quote it. Names with pg_ are the server's."""
SCHEMA_WANTED: Final = "1 to 63 of the characters a-z 0-9 _, not first a digit or pg_"
_WRITTEN: Final = "mailroom."


@cache
def qualified(text: str, schema: str | None) -> str:
    """Return a text with its names in this schema, whose name fits SCHEMA; None: as the search path finds them."""
    return text.replace(_WRITTEN, "" if schema is None else f'"{schema}".')
