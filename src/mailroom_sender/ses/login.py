"""Pure: makes a login safe for a mail. A stranger may have chosen it. It must stay text, and not reorder other text.

Hebrew and Arabic letters run from right to left, and control characters can change the direction (Unicode Standard
Annex 9, "UAX 9"). A template isolates the login, so that the direction changes only within it: with <bdi> in HTML, with
U+2068 and U+2069 in plain text. A login breaks out of that if it closes an isolate that it has not opened, leaves one
open, or begins a new paragraph (see https://github.com/whatwg/html/issues/10251).
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
    """Return the login for the content of an HTML element. It is not fit for an attribute: quotes are not escaped."""
    return contained(login).translate(_MARKUP)


def for_text(login: str) -> str:
    """Return the login on one line, for plain text and subjects. It is isolated if it may run from right to left."""
    if login.isascii():
        return login
    login = contained(login.translate(_BREAKS))
    if any(one in _CONTROLS or unicodedata.bidirectional(one) in _RIGHT_TO_LEFT for one in login):
        return f"{_FIRST_STRONG_ISOLATE}{login}{_POP}"
    return login


def contained(login: str) -> str:
    """Return the login with each of its isolates opened and closed. A login without such characters stays the same."""
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
