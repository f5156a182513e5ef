"""Pure: an address to the identities of SES that may stand for it, and the address of a From.

SES verifies, and policies name, an address or a domain; a verified domain covers the domains below it
(SES developer guide, "Verified identities").
"""

import functools
from email.utils import parseaddr


@functools.lru_cache(16)
def address_of(source: str) -> str:
    """Return the address of a From (RFC 5322, 3.4: an address, or a name before one in angle brackets)."""
    address = parseaddr(source)[1]
    # Where the name has a comma without quotes, the standard library takes what is before it for the address.
    return address if "@" in address else source.rpartition("<")[2].rstrip("> ")


def identities_of(address: str) -> list[str]:
    """Return what, if verified, lets this address be used: the address, its domain, and the domains above."""
    labels = address.rpartition("@")[2].lower().split(".")
    return [address, *(".".join(labels[at:]) for at in range(max(1, len(labels) - 1)))]
