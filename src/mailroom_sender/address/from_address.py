"""Pure: encodes a From that a person wrote (RFC 5322, RFC 2047), or says why that can't be done.

    Acme, Inc. <noreply@example.com>    ->  "Acme, Inc." <noreply@example.com>
    Café <noreply@bücher.example>       ->  =?utf-8?b?Q2Fmw6k=?= <noreply@xn--bcher-kva.example>

SES accepts 7-bit ASCII only (SES API v1 reference, Source). A name becomes encoded words, and a domain Punycode.
"""

import re
import unicodedata
from email.errors import HeaderParseError
from email.header import Header, decode_header, make_header
from typing import Final

from mailroom_sender.address.email_address import UnfitAddress, for_ses
from mailroom_sender.address.identity import address_of

ALLOWED: Final = 'an address, with or without a name: noreply@example.com, or "Acme, Inc." <noreply@example.com>'
_LONGEST: Final = 992  # characters: a line of a header has at most 998 (RFC 5322, 2.1.1), and "From: " has 6
_ENCODED_WORD: Final = 75  # characters (RFC 2047, 2)
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+", re.ASCII)  # RFC 5322, 3.2.3: needs no quotes
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')  # RFC 5322, 3.2.4
_SPECIAL = re.compile(r'[<>@"]')
"""With one of these, a name without quotes looks like another address, or like half of a quoted name."""


class UnfitSource(ValueError):
    """SES can't accept the From. The text is the reason."""


def encode_source(text: str) -> str:
    """Return the From in the form that SES accepts. Raises UnfitSource."""
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        raise UnfitSource("it holds a control character or a line break")
    if any(unicodedata.category(letter) == "Cs" for letter in text):
        raise UnfitSource("it is not UTF-8")
    name, address = _parts(text.strip())
    try:
        address = for_ses(address)
    except UnfitAddress as error:
        raise UnfitSource(str(error)) from None
    name = _plain(name)
    encoded = f"{_encode_name(name)} <{address}>" if name else address
    if len(encoded) > _LONGEST:
        raise UnfitSource(f"it is longer than {_LONGEST} characters once it is encoded")
    return encoded


def domain_of(source: str) -> str:
    """Return the domain of an encoded From, in lower case."""
    return address_of(source).rpartition("@")[2].lower()


def is_public(source: str) -> bool:
    """Return whether the domain could be verified in SES. `localhost` could not."""
    return "." in domain_of(source)


def _parts(text: str) -> tuple[str, str]:
    """Return the name as it is written, and the address."""
    if "<" not in _QUOTED.sub("", text):
        return "", text
    name, _, address = text.rpartition("<")
    if not address.endswith(">"):
        raise UnfitSource("something stands behind the address, or its > is missing")
    return name.strip(), address[:-1].strip()


def _plain(name: str) -> str:
    """Return a name without its quotes, and with its encoded words decoded."""
    if _SPECIAL.search(_QUOTED.sub("", name)):
        raise UnfitSource("its name holds < or > or @, or half a quote; put double quotes around all of the name")
    said = _QUOTED.sub(lambda quoted: re.sub(r"\\(.)", r"\1", quoted[1]), name)
    if "=?" in said:
        try:
            said = str(make_header(decode_header(said)))
        except (HeaderParseError, LookupError, ValueError):
            raise UnfitSource("its name holds an encoded word (=?...?=) that can't be read") from None
        if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in said):
            raise UnfitSource("its name holds an encoded control character")
    return " ".join(said.split())


def _encode_name(name: str) -> str:
    if not name.isascii():
        return Header(name, "utf-8", maxlinelen=_ENCODED_WORD).encode(linesep="")
    if _ATOMS.fullmatch(name):
        return name
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
