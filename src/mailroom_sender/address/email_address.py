"""Pure: converts an email address to the form that SES accepts, or says why that can't be done.

SES accepts 7-bit ASCII only. The domain is converted to Punycode (host_name.py). The local part must be ASCII already.
"""

import re
from typing import Final

from mailroom_sender.address.host_name import UnfitHostName, to_ascii

# An unquoted local part consists of atoms with single dots between them (RFC 5322, 3.2.3). Quotes, brackets, commas and
# spaces are not allowed: they could make one address look like two, or like a name.
_TEXT: Final = "A-Za-z0-9!#$%&'*+/=?^_`{|}~-"
_LOCAL = re.compile(rf"[{_TEXT}]+(?:\.[{_TEXT}]+)*", re.ASCII)
_UNQUOTED = re.compile(rf"[.{_TEXT}]*", re.ASCII)
_LONGEST_LOCAL: Final = 64  # RFC 5321, 4.5.3.1.1
_LONGEST: Final = 254  # RFC 5321, 4.5.3.1.3: a path has at most 256 octets, with its angle brackets


class UnfitAddress(Exception):
    """SES can't accept the address. The text is the reason, without the address."""


def for_ses(email: str) -> str:
    """Return the address in ASCII, with its domain in lower case. Raises UnfitAddress."""
    local, at, domain = email.rpartition("@")
    if not at:
        raise UnfitAddress("its email has no @")
    if len(local) > _LONGEST_LOCAL or not _LOCAL.fullmatch(local):
        raise UnfitAddress(_why_not(local))
    address = f"{local}@{_host_name(domain)}"
    if len(address) > _LONGEST:
        raise UnfitAddress(f"its email is longer than {_LONGEST} characters")
    return address


def _why_not(local: str) -> str:
    """Return what is wrong with a local part."""
    if "@" in local:
        return "its email has more than one @; one account has one address"
    part = "its email's part before the @"
    if not local:
        return "its email has nothing before the @"
    if held := _separator(local):
        return f"{part} holds {held}"
    if not local.isascii():
        return f"{part} is not plain ASCII, which SES needs"
    if not _UNQUOTED.fullmatch(local):
        return f"{part} holds a character that would have to be quoted"
    return f"{part} {_misplaced_dot(local) or f'is longer than {_LONGEST_LOCAL} characters'}"


def _separator(text: str) -> str:
    """Return the name of the separator that a text contains; empty if it contains none."""
    if any(letter.isspace() for letter in text):
        return "a space or a line break"
    return next((name for letter, name in ((",", "a comma"), (";", "a semicolon")) if letter in text), "")


def _misplaced_dot(text: str) -> str:
    """Return in words where a dot is not allowed; empty if all dots are allowed."""
    if text.startswith("."):
        return "begins with a dot"
    if text.endswith("."):
        return "ends with a dot"
    return "has two dots in a row" if ".." in text else ""


def _host_name(domain: str) -> str:
    try:
        return to_ascii(domain)
    except UnfitHostName as error:
        reason = str(error)
    if not domain:
        raise UnfitAddress("its email has nothing behind the @")
    if held := _separator(domain):
        reason = f"holds {held}"
    raise UnfitAddress(f"its email's domain {_misplaced_dot(domain) or reason}")
