"""Encodes the body of a request once. botocore would encode it twice: to sign it and to send it."""

import urllib.parse
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest

_QUOTED: Final = {number: urllib.parse.quote_plus(chr(number)) for number in range(128)}


def encode_once(request: "AWSRequest", **_: object) -> None:
    """Replace a request's form with its bytes. That saves a third of the CPU time of a call."""
    if isinstance(request.data, dict):
        # Its names are letters, digits and dots.
        request.data = "&".join([f"{name}={_quoted(value)}" for name, value in request.data.items()]).encode("ascii")


def _quoted(value: str) -> str:
    return value.translate(_QUOTED) if value.isascii() else urllib.parse.quote_plus(value)
