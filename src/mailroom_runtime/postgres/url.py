"""Where the database is: a libpq URL from the environment or from a file, read again before each connection."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mailroom_runtime.errors import SettingError
from mailroom_runtime.settings.secret_setting import optional_secret, required_secret

_NAME: Final = "MAILROOM_DATABASE_URL"
_EXAMPLE: Final = "write it like postgresql://user:password@host:5432/database"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.:-]{0,30}?)://", re.ASCII)


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """The setting, not its value. It is read before each connection, so that a new password needs no restart."""

    file: str | None
    environ: Mapping[str, str] = field(repr=False)
    schema: str | None = None
    """Where mailroom is in the database; None: where the search path leads."""

    @property
    def is_set(self) -> bool:
        """Return whether it is set. Raises SettingError when it can't be read."""
        return optional_secret(_NAME, self.file, self.environ) is not None

    def read(self) -> str:
        """Return the URL as it is now. Raises SettingError, which does not repeat it."""
        url = required_secret(_NAME, self.file, self.environ, "a libpq URL or key=value string")
        check_url(url)
        return url


def required_url(file: str | None, environ: Mapping[str, str], schema: str | None = None) -> DatabaseUrl:
    """Return the setting, with its value checked. Raises SettingError, also when there is none."""
    url = DatabaseUrl(file, environ, schema)
    url.read()
    return url


def optional_url(file: str | None, environ: Mapping[str, str], schema: str | None = None) -> DatabaseUrl | None:
    """Return the setting, with its value checked, or None when it is not set. Raises SettingError."""
    if not DatabaseUrl(file, environ).is_set:
        return None
    return required_url(file, environ, schema)


def check_url(url: str) -> None:
    """Raise SettingError when libpq can't read it; the text does not repeat it, it may hold a password."""
    import psycopg  # noqa: PLC0415 - slow, and --help needs no database
    from psycopg import conninfo  # noqa: PLC0415

    try:
        conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise SettingError(f"{_NAME} is wrong: {_reason(url)}", _EXAMPLE) from None


def _reason(url: str) -> str:
    if url[:1] in {"'", '"'}:
        return "it begins with a quotation mark"
    match = _SCHEME.match(url)
    if match and match[1] not in {"postgres", "postgresql"}:
        return f"it begins with {match[0]}, which libpq does not know"
    return "it is not a libpq URL or key=value string"
