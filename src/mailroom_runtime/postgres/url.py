"""The database URL: a libpq URL from the environment or from a file. It is read again before each connection."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mailroom_runtime.errors import SettingError
from mailroom_runtime.settings.secret_setting import optional_secret, required_secret

_NAME: Final = "MAILROOM_DATABASE_URL"
_EXAMPLE: Final = "write it like postgresql://user:password@host:5432/database"
_ESCAPES: Final = "in the user and the password write @ as %40, / as %2F and % as %25"
_CREDENTIALS = re.compile(r"postgres(?:ql)?://[^/@]*[/@][^?]*@")
"""A URL with an @, or a /, in front of the last @. libpq ends the credentials at the first @, or at a / before it."""
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.:-]{0,30}?)://", re.ASCII)


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """The setting without its value. The value is read before each connection, so a new password needs no restart."""

    file: str | None
    environ: Mapping[str, str] = field(repr=False)
    schema: str | None = None
    """The schema that mailroom is in. None: the search path finds it."""

    @property
    def is_set(self) -> bool:
        """Return whether the URL is set. Raises SettingError when it can't be read."""
        return optional_secret(_NAME, self.file, self.environ) is not None

    def read(self) -> str:
        """Return the present URL. Raises SettingError, whose text does not repeat the URL."""
        url = required_secret(_NAME, self.file, self.environ, "a libpq URL or key=value string")
        check_url(url)
        return url


def required_url(file: str | None, environ: Mapping[str, str], schema: str | None = None) -> DatabaseUrl:
    """Return the setting, after a check of its value. Raises SettingError when it is wrong or not set."""
    url = DatabaseUrl(file, environ, schema)
    url.read()
    return url


def optional_url(file: str | None, environ: Mapping[str, str], schema: str | None = None) -> DatabaseUrl | None:
    """Return the setting, after a check of its value; None when it is not set. Raises SettingError when it is wrong."""
    if not DatabaseUrl(file, environ).is_set:
        return None
    return required_url(file, environ, schema)


def check_url(url: str) -> None:
    """Raise SettingError when libpq can't read the URL. The text does not repeat it, because it may hold a password."""
    import psycopg  # noqa: PLC0415 - slow, and --help needs no database
    from psycopg import conninfo  # noqa: PLC0415

    if _CREDENTIALS.match(url):
        # libpq would take a part of the password for the host, and show it in its error.
        raise SettingError(f"{_NAME} is wrong: its user or password contains @ or /", _ESCAPES)
    try:
        conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        hint = _ESCAPES if _SCHEME.match(url) and _BAD_ESCAPE.search(url) else _EXAMPLE
        raise SettingError(f"{_NAME} is wrong: {_reason(url)}", hint) from None


def _reason(url: str) -> str:
    if url[:1] in {"'", '"'}:
        return "it begins with a quotation mark"
    match = _SCHEME.match(url)
    if match and match[1] not in {"postgres", "postgresql"}:
        return f"it begins with {match[0]}, which libpq does not know"
    if match and _BAD_ESCAPE.search(url):
        return "it has a % that two hexadecimal digits do not follow"
    return "it is not a libpq URL or key=value string"
