"""Lines of the wire format, written without the collector's code."""

import base64
import hashlib
import hmac

from tests.support.processes import KEY


def secret_of(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def field_of(number: int, code: str | None = None) -> str:
    """Return the secret field of an activation, or with a code that of a recovery."""
    secret = secret_of(number)
    signed = b"/activate" + secret if code is None else b"/recover" + secret + code.encode()
    signature = hmac.new(bytes.fromhex(KEY), signed, "sha256").digest()
    return base64.urlsafe_b64encode(secret + signature).decode().rstrip("=")


def activation(number: int, login: str = "", email: str = "") -> str:
    return f"1,{email or f'u{number}@example.com'},{login or f'u{number}'},{field_of(number)},01234"


def recovery(number: int, login: str = "", code: str = "54321") -> str:
    return f"2,u{number}@example.com,{login or f'u{number}'},{field_of(number, code)},{code}"
