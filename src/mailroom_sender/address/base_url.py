"""Pure: checks the URL that the links of the mails begin with.

The templates put it unescaped into HTML attributes and text. So it may contain only characters that are harmless there.
"""

import re
from typing import Final

_LABEL: Final = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"  # RFC 1035, 2.3.1 and RFC 1123, 2.1
_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[::1\])(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?P<path>(?:/(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+)*)/*",
    re.ASCII,
)
_HERE: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_LONGEST: Final = 500  # characters: a line with the link must have less than 998 (RFC 5322, 2.1.1)
_LAST_PORT: Final = 65_535

WANTED: Final = "an https:// URL of host and path, without ?, # and user (http:// for localhost only)"


def checked_base_url(text: str) -> str:
    """Return the URL without slashes at its end. Raises ValueError; its text says what is allowed."""
    match = _URL.fullmatch(text)
    if match is None or len(text) > _LONGEST or int(match["port"] or 1) not in range(1, _LAST_PORT + 1):
        raise ValueError(WANTED)
    if match["scheme"] == "http" and not is_local(text):
        raise ValueError(WANTED)
    return text.rstrip("/")


def is_local(url: str) -> bool:
    """Return whether a checked URL leads to the reader's own machine."""
    match = _URL.fullmatch(url)
    return match is not None and match["host"].lower() in _HERE
