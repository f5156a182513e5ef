"""Pure: a token and the key to the 86 characters that travel in the mail, and back.

The signature is HMAC-SHA256 over the action's prefix, the secret and, if the action signs it, the code.
"""

import base64
import hmac
import re
from collections.abc import Iterable
from typing import Final

from mailroom_collector.errors import UnfitToken, UnknownAction
from mailroom_collector.sign.action import SHIPPED, Action
from mailroom_runtime.words import counted

SECRET_BYTES: Final = 32
KEY_BYTES: Final = 32
FIELD_CHARACTERS: Final = 86
"""64 bytes in base64url without padding (RFC 4648, 5)."""

_CODE = re.compile(r"[0-9]{5}", re.ASCII)
_FIELD = re.compile(r"[A-Za-z0-9_-]{86}", re.ASCII)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


class Signer:
    """Signs under one key. The key is hashed once, as that is half of the time of an HMAC of so few bytes."""

    def __init__(self, key: bytes, actions: Iterable[Action] = SHIPPED) -> None:
        """Raises ValueError when the key is not 32 bytes."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key is {counted(len(key), 'byte')}, not {KEY_BYTES}")
        self._keyed = hmac.new(key, digestmod="sha256")
        self.set_actions(actions)

    def set_actions(self, actions: Iterable[Action]) -> None:
        """Sign for these actions from now on, and for no others."""
        self._actions = {action.number: (self._with_prefix(action), action.signs_code) for action in actions}

    def _with_prefix(self, action: Action) -> hmac.HMAC:
        signing = self._keyed.copy()
        signing.update(action.prefix.encode("ascii"))
        return signing

    def sign(self, action_number: int, secret: bytes, code: str | None) -> str:
        """Return the secret field for the action of that number: secret and signature, 86 characters of base64url.

        Raises UnknownAction; UnfitToken when the secret is not 32 bytes, or a code that is signed not five digits.
        """
        if len(secret) != SECRET_BYTES:
            raise UnfitToken(f"its secret is {counted(len(secret), 'byte')}, not {SECRET_BYTES}")
        return _encode(secret + self.signature(action_number, secret, code))

    def signature(self, action_number: int, secret: bytes, code: str | None) -> bytes:
        """Return the 32 bytes of the signature alone. Raises as sign() does."""
        try:
            prefix, signs_code = self._actions[action_number]
        except KeyError:
            raise UnknownAction from None
        signing = prefix.copy()
        signing.update(secret)
        if signs_code:
            if code is None or not _CODE.fullmatch(code):
                raise UnfitToken("its code is not five ASCII digits")
            signing.update(code.encode("ascii"))
        return signing.digest()


def verify_token(field: str, *, action: Action, key: bytes, code: str | None = None) -> bytes | None:
    """Check the secret field of a link, for the application that receives it.

    Returns the token's 32-byte secret, with which you find the row in `tokens.secret`, or None when the signature does
    not match. `code` is the five digits that the user typed. An action that signs its code needs it, such as a
    recovery. Other actions ignore it. The check takes the same time for every signature. It does not check expiry:
    check `expires_at` and `consumed_at` of the row.
    Raises ValueError when the key is not 32 bytes.
    """
    signer = Signer(key, [action])
    if not _FIELD.fullmatch(field):
        return None
    data = base64.urlsafe_b64decode(field + "==")
    if _encode(data) != field:  # 86 characters hold 4 bits more than 64 bytes: they must be 0
        return None
    secret, signature = data[:SECRET_BYTES], data[SECRET_BYTES:]
    try:
        expected = signer.signature(action.number, secret, code)
    except UnfitToken:
        return None
    return secret if hmac.compare_digest(signature, expected) else None
