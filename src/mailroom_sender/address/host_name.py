"""Pure: converts a domain to an ASCII host name, or says why that can't be done.

It makes Punycode by RFC 5891. It does not use the `idna` codec of the standard library, which follows the rules of 2003
and replaces some letters. With it, a mail to straße.example would reach strasse.example, which may belong to
somebody else.
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
# Names consist of letters, marks and decimal digits (RFC 5892, 2.1). The exceptions are in RFC 5892, 2.6.
_NAME_CATEGORIES: Final = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"})
_EXCEPTIONS: Final = {
    **dict.fromkeys("\u06fd\u06fe\u0f0b\u3007", True),
    **dict.fromkeys("\u0640\u07fa\u302e\u302f\u3031\u3032\u3033\u3034\u3035\u303b", False),
}
_ASCII_END: Final = 128


class UnfitHostName(Exception):
    """The domain is not a host name. The text says why. It continues "the domain", and does not contain the domain."""


@functools.lru_cache(1024)  # most addresses have one of a few domains
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
    """Return a label that is not ASCII in Punycode."""
    # Letter by letter: str.lower() of a whole word would change a sigma at its end to a final sigma.
    name = unicodedata.normalize("NFC", "".join(letter.lower() for letter in label))
    if len(name) > _LONGEST_LABEL:  # before the steps that are slow for a long label
        raise UnfitHostName(_TOO_LONG)
    if name != unicodedata.normalize("NFKC", name) or not all(_is_of_names(name, at) for at in range(len(name))):
        raise UnfitHostName("holds a character that no domain name has in that place")
    if name.startswith("-") or name.endswith("-"):
        raise UnfitHostName("has a part that begins or ends with a hyphen")
    # RFC 5891, 4.2.3: only Punycode has two hyphens there, and a mark needs a letter before it.
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
