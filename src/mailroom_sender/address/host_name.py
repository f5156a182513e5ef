"""Pure: a domain as the ASCII host name that it stands for, or why it stands for none.

Punycode as RFC 5891 makes it. The standard library's `idna` codec is of 2003 and maps some letters to others, so that
a mail to straße.example would reach strasse.example, which may be somebody else's: it is not used.
"""

import functools
import re
import unicodedata
from typing import Final

from mailroom_sender.address.label_context import CONTEXTS

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)  # RFC 1123, 2.1
_LONGEST_LABEL: Final = 63  # RFC 1035, 2.3.4
_TOO_LONG: Final = f"has a part that is longer than {_LONGEST_LABEL} characters"
_LONGEST: Final = 253  # RFC 1035, 2.3.4, without the root's dot
# RFC 5892, 2.1: letters, marks and decimal digits make up names; 2.6: what does or does not, all the same.
_NAME_CATEGORIES: Final = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"})
_EXCEPTIONS: Final = {
    **dict.fromkeys("\u06fd\u06fe\u0f0b\u3007", True),
    **dict.fromkeys("\u0640\u07fa\u302e\u302f\u3031\u3032\u3033\u3034\u3035\u303b", False),
}
_ASCII_END: Final = 128


class UnfitHostName(Exception):
    """A domain that is no host name; the text says why, as what follows "the domain", without the domain."""


@functools.lru_cache(1024)  # most people have their mail at few places
def to_ascii(domain: str) -> str:
    """Return the host name, in lower case. Raises UnfitHostName."""
    host_name = ".".join(_label(label) for label in domain.split("."))
    if len(host_name) > _LONGEST:
        raise UnfitHostName(f"is longer than {_LONGEST} characters")
    return host_name


def _label(label: str) -> str:
    plain = label.lower() if label.isascii() else _encoded(label)
    if plain.startswith("-") or plain.endswith("-"):
        raise UnfitHostName("has a part that begins or ends with a hyphen")
    if not _LABEL.fullmatch(plain):
        raise UnfitHostName("is not a host name")
    if len(plain) > _LONGEST_LABEL:
        raise UnfitHostName(_TOO_LONG)
    return plain


def _encoded(label: str) -> str:
    """Return a label beyond ASCII in Punycode."""
    # Letter by letter: str.lower() of a whole word makes a final sigma of the last one.
    name = unicodedata.normalize("NFC", "".join(letter.lower() for letter in label))
    if len(name) > _LONGEST_LABEL:  # before the steps that take long for a long label
        raise UnfitHostName(_TOO_LONG)
    if name != unicodedata.normalize("NFKC", name) or not all(_is_of_names(name, at) for at in range(len(name))):
        raise UnfitHostName("holds a character that no domain name has in that place")
    if name.startswith("-") or name.endswith("-"):
        raise UnfitHostName("has a part that begins or ends with a hyphen")
    # RFC 5891, 4.2.3: Punycode alone has two hyphens there; a mark needs a letter before it.
    if name[2:4] == "--" or unicodedata.category(name[0]).startswith("M"):
        raise UnfitHostName("is not a host name")
    return "xn--" + name.encode("punycode").decode("ascii")


def _is_of_names(name: str, at: int) -> bool:
    letter = name[at]
    if ord(letter) < _ASCII_END:
        return letter.isalnum() or letter == "-"
    if letter in CONTEXTS:
        return CONTEXTS[letter](name, at)
    return _EXCEPTIONS.get(letter, unicodedata.category(letter) in _NAME_CATEGORIES)
