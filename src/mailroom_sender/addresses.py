"""Pure: an email address as SES takes it, or why it can't be one.

SES takes 7-bit ASCII: a domain goes as Punycode (RFC 5891), a local part can't be anything else.
The standard library's `idna` codec is of 2003 and maps some letters to others, so that a mail
to straße.example would reach strasse.example, which may be somebody else's: it is not used.
"""

import functools
import re
import unicodedata
from typing import Final

# RFC 5322, 3.2.3: what an unquoted local part is made of. No quotes, brackets, commas or
# spaces: they could make one address look like two, or like a name.
_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}", re.ASCII)
_LONGEST_LOCAL: Final = 64  # RFC 5321, 4.5.3.1.1
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_LONGEST_DOMAIN: Final = 253  # RFC 1035, 2.3.4, without the root's dot
# RFC 5892, 2.1: letters, marks and decimal digits make up names; ZWJ and ZWNJ do not, here.
_NAME_CATEGORIES: Final = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"})
_ASCII_END: Final = 128


class UnfitAddress(Exception):
    """An address that SES can't take; the text is the reason, without the address."""


def for_ses(email: str) -> str:
    """Return the address in ASCII, its domain in lower case. Raises UnfitAddress."""
    local, at, domain = email.rpartition("@")
    if not at:
        raise UnfitAddress("its email has no @")
    if not _LOCAL.fullmatch(local):
        raise UnfitAddress(_why_not(local))
    return f"{local}@{_domain(domain)}"


def _why_not(local: str) -> str:
    """Return what keeps a text from being the part before the @."""
    if "@" in local:
        return "its email has more than one @; one account has one address"
    part = "its email's part before the @"
    if not local:
        return "its email has nothing before the @"
    if held := _separator(local):
        return f"{part} holds {held}"
    if not local.isascii():
        return f"{part} is not plain ASCII, which SES needs"
    if len(local) > _LONGEST_LOCAL:
        return f"{part} is longer than {_LONGEST_LOCAL} characters"
    return f"{part} holds a character that would have to be quoted"


def _separator(text: str) -> str:
    """Return the name of what a text holds that would make two of it; empty if it holds nothing such."""
    if any(letter.isspace() for letter in text):
        return "a space or a line break"
    return next((name for letter, name in ((",", "a comma"), (";", "a semicolon")) if letter in text), "")


@functools.lru_cache(1024)  # most people have their mail at few places
def _domain(domain: str) -> str:
    ascii_domain = ".".join(_label(label) for label in domain.split("."))
    if len(ascii_domain) > _LONGEST_DOMAIN:
        raise UnfitAddress(f"its email's domain is longer than {_LONGEST_DOMAIN} characters")
    return ascii_domain


def _label(label: str) -> str:
    if label.isascii():
        plain = label.lower()
        if _LABEL.fullmatch(plain):
            return plain
        held = _separator(label)
        raise UnfitAddress(f"its email's domain {f'holds {held}' if held else 'is not a host name'}")
    # Letter by letter: str.lower() of a whole word makes a final sigma of the last one.
    name = unicodedata.normalize("NFC", "".join(letter.lower() for letter in label))
    if name != unicodedata.normalize("NFKC", name) or not all(_is_of_names(letter) for letter in name):
        raise UnfitAddress("its email's domain holds a character that no domain name has")
    encoded = "xn--" + name.encode("punycode").decode("ascii")
    if not _LABEL.fullmatch(encoded) or unicodedata.category(name[0]).startswith("M"):
        raise UnfitAddress("its email's domain is not a host name")
    return encoded


def _is_of_names(letter: str) -> bool:
    if ord(letter) < _ASCII_END:
        return letter.isalnum() or letter == "-"
    return unicodedata.category(letter) in _NAME_CATEGORIES
