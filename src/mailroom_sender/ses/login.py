"""Pure: a login as it goes into a mail. A stranger has chosen it: it stays text, and changes no text around it.

Letters of Hebrew and Arabic run from right to left, and there are control characters for the direction (Unicode
Standard Annex 9, "UAX 9"). A template keeps what they do within the login by isolating it: <bdi> in HTML, U+2068 and
U+2069 in plain text. A login that closes an isolate which it has not opened, that leaves one open, or that begins a
new paragraph can get out of it (see https://github.com/whatwg/html/issues/10251).
"""

import unicodedata
from typing import Final

_MARKUP: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_PARAGRAPH_BREAK: Final = "\u2029"
_BREAKS: Final = str.maketrans({"\u2028": " ", _PARAGRAPH_BREAK: " "})
_ISOLATES: Final = frozenset("\u2066\u2067\u2068")
_FIRST_STRONG_ISOLATE: Final = "\u2068"
_POP: Final = "\u2069"
_CONTROLS: Final = _ISOLATES | frozenset("\u202a\u202b\u202c\u202d\u202e\u2069")
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})  # letters and digits (UAX 9, table 4)


def for_html(login: str) -> str:
    """Return the login for the content of an element, but not for an attribute: quotes stay as they are."""
    return contained(login).translate(_MARKUP)


def for_text(login: str) -> str:
    """Return the login on one line, for plain text and subjects; isolated if some of it may run from right to left."""
    if login.isascii():
        return login
    login = contained(login.translate(_BREAKS))
    if any(one in _CONTROLS or unicodedata.bidirectional(one) in _RIGHT_TO_LEFT for one in login):
        return f"{_FIRST_STRONG_ISOLATE}{login}{_POP}"
    return login


def contained(login: str) -> str:
    """Return the login with each of its isolates opened and closed. It is the same, unless it holds such controls."""
    if login.isascii() or _CONTROLS.isdisjoint(login):
        return login
    login = login.replace(_PARAGRAPH_BREAK, " ")
    unopened, unclosed = 0, 0
    for character in login:
        if character in _ISOLATES:
            unclosed += 1
        elif character == _POP and unclosed:
            unclosed -= 1
        elif character == _POP:
            unopened += 1
    return _FIRST_STRONG_ISOLATE * unopened + login + _POP * unclosed
