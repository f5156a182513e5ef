"""Pure: finds the SES identities that cover an address, and the address of a From.

An identity is an address or a domain. SES verifies identities, and policies name them. A verified domain covers the
domains below it (SES developer guide, "Verified identities").
"""

import functools
from email.utils import parseaddr


@functools.lru_cache(16)
def address_of(source: str) -> str:
    """Return the address of a From: an address alone, or a name and an address in angle brackets (RFC 5322, 3.4)."""
    address = parseaddr(source)[1]
    # If the name has a comma without quotes, the standard library returns the text before the comma as the address.
    return address if "@" in address else source.rpartition("<")[2].rstrip("> ")


def identities_of(address: str) -> list[str]:
    """Return the identities that cover an address if they are verified: it, its domain, and the domains above."""
    labels = address.rpartition("@")[2].lower().split(".")
    return [address, *(".".join(labels[at:]) for at in range(max(1, len(labels) - 1)))]
